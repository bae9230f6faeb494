"""The tasks: frozen dataclasses that hold ids only. Their handlers are in `app/jobs`."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

URGENT, DEFAULT, BULK = "urgent", "default", "bulk"
QUEUES = (URGENT, DEFAULT, BULK)


@dataclass(frozen=True)
class Task:
    """`queue` is its priority; after `max_attempts` failed tries the job is dead.

    One that `is_warning` tells the owner of an account what was done to it, so that nobody can cancel it.
    """

    queue: ClassVar[str] = DEFAULT
    is_warning: ClassVar[bool] = False
    max_attempts: ClassVar[int] = 8
    kinds: ClassVar[dict[str, type[Task]]] = {}

    def __init_subclass__(cls, *, is_kind: bool = True) -> None:
        super().__init_subclass__()
        if is_kind:
            Task.kinds[cls.kind()] = cls

    @classmethod
    def kind(cls) -> str:
        """`SendVerification` is stored as `send_verification`."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()

    def arguments(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def read(kind: str, arguments: dict[str, Any]) -> Task:
        """The task that a row holds. Raises KeyError for a kind or argument that this version does not know."""
        known = Task.kinds[kind]
        names = {field.name for field in fields(known)}
        if names != set(arguments):
            raise KeyError(kind)
        return known(**arguments)


class MailTask(Task, is_kind=False):
    """A task that sends one mail. Its tries outlast a mail server that is away for a day."""

    # Waits of 5 s doubling up to an hour, then an hour each, with 20 % jitter: at least 25 hours.
    max_attempts: ClassVar[int] = 42


class WarningTask(MailTask, is_kind=False):
    """A mail that tells the owner of an account what was done to it."""

    is_warning: ClassVar[bool] = True


@dataclass(frozen=True)
class AnswerRegistration(MailTask):
    """A confirmation link, or a notice that there is an account already: the worker decides, not the page."""

    queue: ClassVar[str] = URGENT
    user_id: int


@dataclass(frozen=True)
class AnswerResendVerification(MailTask):
    """`user_id` is None when the address is unknown, so that the row looks the same."""

    queue: ClassVar[str] = URGENT
    user_id: int | None


@dataclass(frozen=True)
class AnswerForgotPassword(MailTask):
    """`user_id` is None when the address is unknown, so that the row looks the same."""

    queue: ClassVar[str] = URGENT
    user_id: int | None


@dataclass(frozen=True)
class SendPasswordChanged(WarningTask):
    user_id: int
    event_id: int


@dataclass(frozen=True)
class SendConnectionAdded(WarningTask):
    """Notice that a provider's identity can sign in to the account from now on; `event_id` says which and when."""

    user_id: int
    event_id: int


@dataclass(frozen=True)
class SendConnectionRemoved(WarningTask):
    user_id: int
    event_id: int


@dataclass(frozen=True)
class SendFactorChanged(WarningTask):
    """Notice of a change or use of a second factor, or of wrong codes; `event_id` says which."""

    user_id: int
    event_id: int


@dataclass(frozen=True)
class SendFactorReset(WarningTask):
    """Notice that second factors are going to be removed: to the account's address, or that of a connection or of an
    earlier change."""

    queue: ClassVar[str] = URGENT
    reset_id: int
    connection_id: int | None
    change_id: int | None


@dataclass(frozen=True)
class ResetFactors(Task):
    reset_id: int


@dataclass(frozen=True)
class SendNewDevice(WarningTask):
    user_id: int
    session_id: int


@dataclass(frozen=True)
class SendFailedSignIns(WarningTask):
    """Enqueued for unknown addresses too (`throttle_id` leads to a user or to nobody)."""

    throttle_id: int


@dataclass(frozen=True)
class SendConfirmEmailChange(MailTask):
    """A link to the new address, unless it belongs to somebody else."""

    queue: ClassVar[str] = URGENT
    change_id: int


@dataclass(frozen=True)
class SendEmailChangeRequested(WarningTask):
    """To the old address, with a link that undoes the change."""

    queue: ClassVar[str] = URGENT
    change_id: int


@dataclass(frozen=True)
class SendEmailChanged(WarningTask):
    """To the old address, when the change was confirmed; it has the same link that undoes it."""

    queue: ClassVar[str] = URGENT
    change_id: int


@dataclass(frozen=True)
class SendAccountDeactivated(WarningTask):
    user_id: int


@dataclass(frozen=True)
class SendAccountActivated(WarningTask):
    user_id: int


@dataclass(frozen=True)
class SendAccountDeleted(WarningTask):
    user_id: int


@dataclass(frozen=True)
class SendImpersonated(WarningTask):
    """Notice to a user that an administrator acted as them; `event_id` is when it began."""

    user_id: int
    event_id: int


@dataclass(frozen=True)
class SendInvitation(MailTask):
    """A link to set name and password, to the invited address; the mail names the user `inviter_id`."""

    queue: ClassVar[str] = URGENT
    user_id: int
    inviter_id: int | None


@dataclass(frozen=True)
class ExportOwnData(MailTask):
    """Make the copy of a user's data in the file, and tell them."""

    queue: ClassVar[str] = BULK
    user_id: int
    file_id: int


@dataclass(frozen=True)
class SendSample(MailTask):
    """A mail with made-up values to whoever looks at the templates; `sample_id` is its place in the list of samples."""

    user_id: int
    sample_id: int


@dataclass(frozen=True)
class SendTokenReused(WarningTask):
    """Notice to the owner that a refresh token was used twice and the sign-in ended."""

    user_id: int
    event_id: int


@dataclass(frozen=True)
class SendApiKeyMade(WarningTask):
    key_id: int


@dataclass(frozen=True)
class SendApiKeysNarrowed(MailTask):
    """Notice that the keys made before scopes for one's own account can do less now; a migration enqueues it."""

    user_id: int


@dataclass(frozen=True)
class SendApiKeyExpires(MailTask):
    key_id: int


@dataclass(frozen=True)
class WarnOfExpiringKeys(Task):
    """A mail for each API key that will soon expire."""

    queue: ClassVar[str] = BULK


@dataclass(frozen=True)
class PurgeUnconfirmed(Task):
    """Delete accounts whose address was never confirmed."""

    queue: ClassVar[str] = BULK


@dataclass(frozen=True)
class SettleAccounts(Task):
    """End what has run out: deactivations, the undo times of deleted accounts, impersonations."""

    queue: ClassVar[str] = BULK


@dataclass(frozen=True)
class SealAuditEvents(Task):
    """Add audit events to the chain of hashes, and delete those past their retention."""

    queue: ClassVar[str] = BULK


@dataclass(frozen=True)
class NoteUses(Task):
    """Write when sessions and API keys were last used, as collected in Redis or Valkey."""

    queue: ClassVar[str] = BULK


@dataclass(frozen=True)
class CheckUserImport(Task):
    """Read the file of an import, and say what each row would do."""

    queue: ClassVar[str] = BULK
    import_id: int


@dataclass(frozen=True)
class ApplyUserImport(Task):
    queue: ClassVar[str] = BULK
    import_id: int


@dataclass(frozen=True)
class CountStatistics(Task):
    """Count what reports show."""

    queue: ClassVar[str] = BULK


@dataclass(frozen=True)
class SendWeeklyReports(Task):
    """A report to each user who wants one."""

    queue: ClassVar[str] = BULK


@dataclass(frozen=True)
class SendWeeklyReport(MailTask):
    queue: ClassVar[str] = BULK
    user_id: int


@dataclass(frozen=True)
class PurgeExpired(Task):
    """Delete ended sessions and links, idle throttles, finished jobs and old mail records."""

    queue: ClassVar[str] = BULK


@dataclass(frozen=True)
class NoOperation(Task):
    """Does nothing: for `make bench` and for checking the workers."""
