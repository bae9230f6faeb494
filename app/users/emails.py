"""Emails about the state of an account."""

from typing import ClassVar

from app.core import errors
from app.mail.kinds import SAMPLE_TIME, Email, EmailJob, WarningEmail


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
