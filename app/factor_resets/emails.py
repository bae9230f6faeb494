"""The email about a reset of second factors."""

from datetime import datetime, timedelta
from typing import ClassVar

from sqlalchemy import func, select

from app.auth.models import Purpose, Target, Undoable
from app.core import errors
from app.factor_resets.models import FactorReset
from app.jobs.tasks import URGENT
from app.mail.kinds import SAMPLE_TIME, Email, EmailJob, WarningEmail, sample_link
from app.users.models import EmailChange, User


class SendFactorReset(WarningEmail, kind="send_factor_reset", title="Notify of second factor reset", queue=URGENT):
    """Notice that second factors are going to be removed: to the account's address, or that of a connection or of an
    earlier change.
    """

    template, subject = "factor_reset", "Your second factors for {site} will be removed"
    sample: ClassVar = {
        "email": "ada@example.com",
        "due_at": SAMPLE_TIME,
        "cancel_link": sample_link(Purpose.KEEP_FACTORS),
    }
    reset_id: int
    connection_id: int | None
    change_id: int | None

    def compose(self, job: EmailJob) -> Email:
        work = job.work
        reset = work.session.get(FactorReset, self.reset_id)
        if reset is None or reset.ended_at is not None:
            raise errors.NothingToDo("cancelled or already done")
        user = job.active(reset.user_id)
        address, since = self._recipient(job, user)
        if not address or (address == user.email and (self.connection_id or self.change_id)):
            raise errors.NothingToDo("the address was removed, or is the account's address")
        link = None
        if reset.is_cancellable_from(since):
            undoes = Undoable(Target.FACTOR_RESET, reset.id, reset.begun_at)
            lifetime = max(reset.due_at - work.clock(), timedelta())
            link = job.link(Purpose.KEEP_FACTORS, user, lifetime, address=address, undoes=undoes)
        return self.email(user, to=address, email=user.email, due_at=reset.due_at, cancel_link=link)

    def _recipient(self, job: EmailJob, user: User) -> tuple[str, datetime]:
        """Return the address, or an empty one if it was removed, and since when the account has had it."""
        if self.connection_id is not None:
            addresses = (access.find_address(job.work, self.connection_id) for access in job.work.access)
            return next((address for address in addresses if address is not None), ("", user.created_at))
        confirmed = select(func.max(EmailChange.confirmed_at)).where(EmailChange.user_id == user.id)
        address = user.email
        if self.change_id is not None:
            change = job.work.session.get(EmailChange, self.change_id)
            address = change.old_email if change else ""
            confirmed = confirmed.where(EmailChange.id < self.change_id)
        return address, job.work.session.scalar(confirmed) or user.created_at
