"""Job handlers."""

from app.jobs.registry import handles
from app.jobs.services.queue import Claim
from app.reports.emails import SendWeeklyReport
from app.reports.service import ReportSubscriptions
from app.reports.tasks import SendWeeklyReports
from app.unit_of_work import Work


@handles(SendWeeklyReports)
def send_weekly_reports(work: Work, task: SendWeeklyReports, claim: Claim) -> None:
    for user_id in work[ReportSubscriptions].list_subscribers():
        work.enqueue(SendWeeklyReport(user_id))
