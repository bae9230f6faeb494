"""Job handlers."""

from app.jobs.registry import Run, handles, handles_in_steps
from app.jobs.services.queue import Claim
from app.reports.emails import SendWeeklyReport
from app.reports.service import Statistics
from app.reports.tasks import CountStatistics, SendWeeklyReports
from app.unit_of_work import Work

DAYS_IN_A_STEP = 31


@handles_in_steps(CountStatistics)
def count_statistics(run: Run, task: CountStatistics) -> None:
    with run.step() as work:
        work[Statistics].count_hours()
        days = work[Statistics].days_to_count()
    for first in range(0, len(days), DAYS_IN_A_STEP):
        batch = days[first : first + DAYS_IN_A_STEP]
        with run.step() as work:
            for day in batch:
                work[Statistics].count_day(day)
            work.progress(first + len(batch), len(days))


@handles(SendWeeklyReports)
def send_weekly_reports(work: Work, task: SendWeeklyReports, claim: Claim) -> None:
    for user_id in work[Statistics].list_subscribers():
        work.enqueue(SendWeeklyReport(user_id))
