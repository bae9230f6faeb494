"""Emails about second factors."""

from datetime import datetime, timedelta
from typing import Any, ClassVar

from sqlalchemy import func, select

from app.auth.models import FactorReset, Purpose, Target, Undoable
from app.core import errors
from app.jobs.tasks import URGENT
from app.mail.kinds import SAMPLE_TIME, SAMPLE_VISIT, Email, EmailJob, WarningEmail, details, sample_link, visit
from app.oauth.models import OAuthIdentity
from app.users.models import EmailChange, User

FACTORS = {"totp": "An authenticator app", "passkey": "A passkey"}
# By the kind of the event: the start of the subject, and what happened.
CHANGES = {
    "factor.added": ("{factor} was added", "{factor} was added to your account."),
    "factor.removed": (
        "{factor} was removed",
        "{factor} was removed from your account. If it was your last one, only your password protects your account.",
    ),
    "factor.reset": (
        "Your second factors were removed",
        "An administrator removed the second factors of your account. Sign in and set up new ones.",
    ),
    "factor.counter_fell": (
        "A passkey may have been copied",
        "A passkey of your account may have been copied: its counter went backwards. If in doubt, remove it.",
    ),
    "factor.recovery_made": (
        "New recovery codes",
        "New recovery codes were created for your account. Your old codes no longer work.",
    ),
    "factor.recovery_used": ("Recovery code used", "A recovery code of your account was used."),
    "factor.refused": (
        "Wrong verification codes",
        "Someone signed in with your password, then entered several wrong verification codes. They did not get in.",
    ),
}


def described(kind: str, factor: str) -> dict[str, Any]:
    change, text = (words.format(factor=FACTORS.get(factor, "A second factor")) for words in CHANGES[kind])
    return {"change": change, "text": text}


class SendFactorChanged(WarningEmail, kind="send_factor_changed", title="Notify of second factor change"):
    """Notice of a change or use of a second factor, or of wrong codes; `event_id` says which."""

    template, subject = "factor_changed", "{change} ({site})"
    sample: ClassVar = {
        **described("factor.added", "passkey"),
        **SAMPLE_VISIT,
        "left": None,
        "undo_link": sample_link(Purpose.UNDO_ADDITION),
        "undo_hours": 72,
    }
    user_id: int
    event_id: int

    def compose(self, job: EmailJob) -> Email:
        user, event = job.active(self.user_id), job.event(self.event_id)
        values = details(event)
        undo = job.undo(user, Undoable.read(Target.AUTHENTICATOR, values))
        words = described(event.kind, str(values.get("factor")))
        return self.email(user, left=values.get("left"), **words, **visit(event), **undo)


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
        if work.factor_resets.is_old_address(reset, since):
            undoes = Undoable(Target.FACTOR_RESET, reset.id, reset.begun_at)
            lifetime = max(reset.due_at - work.clock(), timedelta())
            link = job.link(Purpose.KEEP_FACTORS, user, lifetime, address=address, undoes=undoes)
        return self.email(user, to=address, email=user.email, due_at=reset.due_at, cancel_link=link)

    def _recipient(self, job: EmailJob, user: User) -> tuple[str, datetime]:
        """Return the address, or an empty one if it was removed, and since when the account has had it."""
        if self.connection_id is not None:
            connection = job.work.session.get(OAuthIdentity, self.connection_id)
            return (connection.email or "", connection.created_at) if connection else ("", user.created_at)
        confirmed = select(func.max(EmailChange.confirmed_at)).where(EmailChange.user_id == user.id)
        address = user.email
        if self.change_id is not None:
            change = job.work.session.get(EmailChange, self.change_id)
            address = change.old_email if change else ""
            confirmed = confirmed.where(EmailChange.id < self.change_id)
        return address, job.work.session.scalar(confirmed) or user.created_at
