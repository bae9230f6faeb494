"""Emails about changes of the email address."""

from datetime import timedelta
from typing import Any, ClassVar

from sqlalchemy import select

from app.auth.models import OneTimeLink, Purpose
from app.core import errors
from app.jobs.tasks import URGENT
from app.mail.kinds import Email, EmailJob, EmailTask, WarningEmail, path_of, sample_link
from app.users.models import EmailChange, User

SAMPLE: dict[str, Any] = {
    "new_address": "ada@newplace.example",
    "undo_link": sample_link(Purpose.UNDO_EMAIL_CHANGE),
    "days": 14,
}


class SendConfirmEmailChange(
    EmailTask, kind="send_confirm_email_change", title="Send email change confirmation", queue=URGENT
):
    """Send a link to the new address, unless it belongs to another account."""

    template, subject = "confirm_email_change", "Confirm your new email address for {site}"
    sample: ClassVar = {**SAMPLE, "name": "", "link": sample_link(Purpose.CHANGE_EMAIL), "hours": 24}
    change_id: int

    def compose(self, job: EmailJob) -> Email:
        change, user = _change(job, self.change_id)
        address, hours = change.new_email, job.work.lifetimes.email_change_link_hours
        if change.confirmed_at:
            raise errors.NothingToDo("the change is already confirmed")
        confirmed = select(User.id).where(User.email == address, User.email_verified_at.is_not(None))
        if job.work.session.scalar(confirmed) is not None:
            raise errors.NothingToDo("the new address belongs to another account")
        job.check_quota(SendConfirmEmailChange, address)
        lifetime = timedelta(hours=hours)
        link = job.link(Purpose.CHANGE_EMAIL, user, lifetime, address=address, email_change_id=change.id)
        return self.email(user, to=address, knows_them=False, new_address=address, link=link, hours=hours)


class SendEmailChangeRequested(
    WarningEmail, kind="send_email_change_requested", title="Notify of requested email change", queue=URGENT
):
    """To the old address, with a link that undoes the change."""

    template, subject = "email_change_requested", "Your {site} email address is about to change"
    sample = SAMPLE
    change_id: int

    def compose(self, job: EmailJob) -> Email:
        change, user = _change(job, self.change_id)
        return self.email(user, to=change.old_email, **_undo(job, change, user))


class SendEmailChanged(SendEmailChangeRequested, kind="send_email_changed", title="Notify of email change"):
    """To the old address, when the change was confirmed; it has the same link that undoes it."""

    template, subject = "email_changed", "Your {site} email address was changed"


def _change(job: EmailJob, change_id: int) -> tuple[EmailChange, User]:
    change = job.work.session.get(EmailChange, change_id)
    if change is None or change.ended_at is not None:
        raise errors.NothingToDo("the change was cancelled")
    return change, job.active(change.user_id)


def _undo(job: EmailJob, change: EmailChange, user: User) -> dict[str, Any]:
    """Return the values of the link that undoes this change, the same in both emails.

    Raises InvalidLink if it was used or has expired.
    """
    purpose, days = Purpose.UNDO_EMAIL_CHANGE, job.work.lifetimes.email_undo_link_days
    is_sent = select(OneTimeLink).where(OneTimeLink.email_change_id == change.id, OneTimeLink.purpose == purpose)
    if (sent := job.work.session.scalar(is_sent)) is not None:
        link = path_of(purpose, job.work.links.token_of(sent))
    else:
        link = job.link(purpose, user, timedelta(days=days), address=change.old_email, email_change_id=change.id)
    return {"new_address": change.new_email, "undo_link": link, "days": days}
