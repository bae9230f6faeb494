"""The weekly report by email."""

from typing import ClassVar

from app.core import errors
from app.jobs.tasks import BULK
from app.mail.kinds import Email, EmailJob, EmailTask
from app.reports.service import ReportSubscriptions
from app.statistics.service import Statistics


class SendWeeklyReport(EmailTask, kind="send_weekly_report", title="Send weekly report", queue=BULK):
    template, subject = "weekly_report", "{site}: week of {week}"
    sample: ClassVar = {
        "week": "9 November 2026",
        "rows": [
            ("Sign-ups", "12 (9)"),
            ("Sign-ins", "340 (311)"),
            ("Failed sign-ins", "17 (21)"),
            ("Active users", "140 (133)"),
        ],
        "link": "/admin/reports",
    }
    user_id: int

    def compose(self, job: EmailJob) -> Email:
        user, subscriptions = job.active(self.user_id), job.work[ReportSubscriptions]
        if not subscriptions.is_subscribed(user.id) or not subscriptions.may_view(user):
            raise errors.NothingToDo("the user has unsubscribed or can't view reports")
        *_, before, week, _ = job.work[Statistics].report("week")
        names = {
            "Sign-ups": "sign_ups",
            "Sign-ins": "sign_ins",
            "Failed sign-ins": "failures",
            "Active users": "active",
        }
        rows = [(text, f"{getattr(week, of) or 0:,} ({getattr(before, of) or 0:,})") for text, of in names.items()]
        return self.email(user, week=f"{week.begin.day} {week.begin:%B %Y}", rows=rows, link="/admin/reports")
