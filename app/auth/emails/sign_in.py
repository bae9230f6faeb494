"""Emails about passwords and sign-ins."""

from datetime import timedelta
from typing import ClassVar

from app.auth.models import Purpose, Session, Throttle
from app.core import errors
from app.core.user_agents import device_name
from app.jobs.tasks import URGENT
from app.mail.kinds import SAMPLE_VISIT, Email, EmailJob, EmailTask, WarningEmail, sample_link, visit


class SendPasswordReset(EmailTask, kind="answer_forgot_password", title="Send password reset email", queue=URGENT):
    """`user_id` is None when the address is unknown, so that the row looks the same."""

    template, subject = "reset_password", "Reset your {site} password"
    sample: ClassVar = {"link": sample_link(Purpose.RESET_PASSWORD), "minutes": 60}
    user_id: int | None

    def compose(self, job: EmailJob) -> Email:
        user = job.user(self.user_id)
        if not user.is_active and not user.is_closed():
            raise errors.NothingToDo("the account is deactivated")
        job.check_quota(SendPasswordReset, user.email)
        minutes = job.work.lifetimes.reset_link_minutes
        link = job.link(Purpose.RESET_PASSWORD, user, timedelta(minutes=minutes))
        return self.email(user, link=link, minutes=minutes)


class EventWarning(WarningEmail):
    """A warning about the event `event_id`: when, on which device and from which address it happened."""

    sample = SAMPLE_VISIT
    user_id: int
    event_id: int

    def compose(self, job: EmailJob) -> Email:
        return self.email(job.active(self.user_id), **visit(job.event(self.event_id)))


class SendPasswordChanged(EventWarning, kind="send_password_changed", title="Notify of password change"):
    template, subject = "password_changed", "Your {site} password was changed"


class SendNewDevice(WarningEmail, kind="send_new_device", title="Notify of new device"):
    template, subject = "new_device", "New sign-in to your {site} account"
    sample = SAMPLE_VISIT
    user_id: int
    session_id: int

    def compose(self, job: EmailJob) -> Email:
        user, session = job.active(self.user_id), job.work.session.get(Session, self.session_id)
        if session is None:
            raise errors.NothingToDo("the session no longer exists")
        device = device_name(session.user_agent)
        return self.email(user, at=session.created_at, device=device, address=session.address)


class SendFailedSignIns(WarningEmail, kind="send_failed_sign_ins", title="Notify of failed sign-ins"):
    """Warn about failed sign-ins. Enqueued for unknown addresses too (`throttle_id` leads to a user or to none)."""

    template, subject = "failed_sign_ins", "Failed sign-ins to your {site} account"
    sample: ClassVar = {"count": 10}
    throttle_id: int

    def compose(self, job: EmailJob) -> Email:
        throttle = job.work.session.get(Throttle, self.throttle_id)
        if throttle is None:
            raise errors.NothingToDo("the counter no longer exists")
        user = job.active(throttle.user_id)
        if not user.is_verified():
            raise errors.NothingToDo("the address was never confirmed")
        return self.email(user, count=throttle.failures)


class SendTokenReused(EventWarning, kind="send_token_reused", title="Notify of reused refresh token"):
    """Notice to the owner that a refresh token was used twice and the sign-in ended."""

    template, subject = "token_reused", "We signed out an app to protect your {site} account"
