"""Emails about the state of an account, its data, and reports."""

from typing import ClassVar

from app.core import errors
from app.jobs.tasks import BULK
from app.mail.kinds import SAMPLE_TIME, Email, EmailJob, EmailKind, EmailTask, WarningEmail, details


class SendAccountDeactivated(WarningEmail, kind="send_account_deactivated", title="Notify of deactivation"):
    template, subject = "account_deactivated", "Your {site} account was deactivated"
    sample: ClassVar = {"reason": "On leave until spring.", "until": SAMPLE_TIME}
    user_id: int

    def compose(self, job: EmailJob) -> Email:
        user = job.user(self.user_id)
        if user.deactivated_at is None:
            raise errors.NothingToDo("the account is active again")
        return self.email(user, reason=user.deactivation_reason, until=user.deactivated_until)


class SendAccountActivated(WarningEmail, kind="send_account_activated", title="Notify of reactivation"):
    template, subject = "account_activated", "Your {site} account was reactivated"
    user_id: int

    def compose(self, job: EmailJob) -> Email:
        return self.email(job.active(self.user_id))


class SendAccountDeleted(WarningEmail, kind="send_account_deleted", title="Notify of deletion"):
    template, subject = "account_deleted", "Your {site} account was deleted"
    sample: ClassVar = {"erased_at": SAMPLE_TIME, "reason": "You asked us to.", "by_owner": False}
    user_id: int

    def compose(self, job: EmailJob) -> Email:
        user, users = job.user(self.user_id), job.work.users
        if user.deleted_at is None:
            raise errors.NothingToDo("the deletion was undone")
        reason = users.deletion_reason(user.id)
        return self.email(user, erased_at=users.erased_at(user), reason=reason, by_owner=user.deleted_by_owner)


class SendImpersonated(WarningEmail, kind="send_impersonated", title="Notify of impersonation"):
    """Notice to a user that an administrator acted as them; `event_id` is when it began."""

    template, subject = "impersonated", "An administrator accessed your {site} account"
    sample: ClassVar = {"actor": "Grace Hopper", "reason": "You asked for help with your name.", "at": SAMPLE_TIME}
    user_id: int
    event_id: int

    def compose(self, job: EmailJob) -> Email:
        user, event = job.active(self.user_id), job.event(self.event_id)
        return self.email(user, actor=job.name(event.actor_id), reason=details(event).get("reason"), at=event.at)


class OwnDataReady(EmailKind):
    template, subject = "own_data_ready", "Your {site} data is ready"
    sample: ClassVar = {"until": SAMPLE_TIME, "link": "/account/data"}


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
        user, statistics = job.active(self.user_id), job.work.statistics
        if not statistics.is_subscribed(user.id) or not statistics.may_view(user):
            raise errors.NothingToDo("the user has unsubscribed or can't view reports")
        *_, before, week, _ = statistics.report("week")
        names = {
            "Sign-ups": "sign_ups",
            "Sign-ins": "sign_ins",
            "Failed sign-ins": "failures",
            "Active users": "active",
        }
        rows = [(text, f"{getattr(week, of) or 0:,} ({getattr(before, of) or 0:,})") for text, of in names.items()]
        return self.email(user, week=f"{week.begin.day} {week.begin:%B %Y}", rows=rows, link="/admin/reports")


class ServerTest(EmailKind):
    """Sent by `flask mail test`, to no user."""

    template, subject = "test_mail", "Test email from {site}"
    sample: ClassVar = {"name": ""}
