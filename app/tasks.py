"""Tasks: frozen dataclasses that hold only IDs. Their handlers are in `app/jobs`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

URGENT, DEFAULT, BULK = "urgent", "default", "bulk"
QUEUES = (URGENT, DEFAULT, BULK)


@dataclass(frozen=True)
class Task:
    """Base class of tasks; the names of its fields are stored with each job.

    `kind` is the stored name, `title` the one on pages. `queue` is the priority. After `max_attempts` failed attempts
    the job is dead. Nobody can cancel a task that `is_warning`: it warns a user about their account.
    """

    kind: ClassVar[str] = ""
    title: ClassVar[str] = ""
    queue: ClassVar[str] = DEFAULT
    is_warning: ClassVar[bool] = False
    max_attempts: ClassVar[int] = 8
    kinds: ClassVar[dict[str, type[Task]]] = {}

    def __init_subclass__(cls, *, kind: str = "", title: str = "") -> None:
        super().__init_subclass__()
        if kind:
            cls.kind, cls.title = kind, title or kind.replace("_", " ").capitalize()
            Task.kinds[kind] = cls

    def arguments(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def read(kind: str, arguments: dict[str, Any]) -> Task:
        """Return the task of a stored job. Raises KeyError for a kind or argument that this version does not know."""
        task = Task.kinds[kind]
        names = {field.name for field in fields(task)}
        if names != set(arguments):
            raise KeyError(kind)
        return task(**arguments)


class MailTask(Task):
    """A task that sends one email. Its attempts last longer than a mail server's outage of a day."""

    # Waits of 5 s doubling up to an hour, then an hour each, with 20 % jitter: at least 25 hours.
    max_attempts: ClassVar[int] = 42


class WarningTask(MailTask):
    """An email that warns a user about their account."""

    is_warning: ClassVar[bool] = True


@dataclass(frozen=True)
class SendConfirmation(MailTask, kind="answer_registration", title="Send confirmation email"):
    """A confirmation link, or a notice that there is an account already: the worker decides, not the page."""

    queue: ClassVar[str] = URGENT
    user_id: int


@dataclass(frozen=True)
class ResendConfirmation(MailTask, kind="answer_resend_verification", title="Resend confirmation email"):
    """`user_id` is None when the address is unknown, so that the row looks the same."""

    queue: ClassVar[str] = URGENT
    user_id: int | None


@dataclass(frozen=True)
class SendPasswordReset(MailTask, kind="answer_forgot_password", title="Send password reset email"):
    """`user_id` is None when the address is unknown, so that the row looks the same."""

    queue: ClassVar[str] = URGENT
    user_id: int | None


@dataclass(frozen=True)
class SendPasswordChanged(WarningTask, kind="send_password_changed", title="Notify of password change"):
    user_id: int
    event_id: int


@dataclass(frozen=True)
class SendConnectionAdded(WarningTask, kind="send_connection_added", title="Notify of connected account"):
    """Notify of a new connected account; `event_id` names the event."""

    user_id: int
    event_id: int


@dataclass(frozen=True)
class SendConnectionRemoved(WarningTask, kind="send_connection_removed", title="Notify of disconnected account"):
    user_id: int
    event_id: int


@dataclass(frozen=True)
class SendFactorChanged(WarningTask, kind="send_factor_changed", title="Notify of second factor change"):
    """Notice of a change or use of a second factor, or of wrong codes; `event_id` says which."""

    user_id: int
    event_id: int


@dataclass(frozen=True)
class SendFactorReset(WarningTask, kind="send_factor_reset", title="Notify of second factor reset"):
    """Notice that second factors are going to be removed: to the account's address, or that of a connection or of an
    earlier change."""

    queue: ClassVar[str] = URGENT
    reset_id: int
    connection_id: int | None
    change_id: int | None


@dataclass(frozen=True)
class ResetFactors(Task, kind="reset_factors", title="Reset second factors"):
    reset_id: int


@dataclass(frozen=True)
class SendNewDevice(WarningTask, kind="send_new_device", title="Notify of new device"):
    user_id: int
    session_id: int


@dataclass(frozen=True)
class SendFailedSignIns(WarningTask, kind="send_failed_sign_ins", title="Notify of failed sign-ins"):
    """Warn about failed sign-ins. Enqueued for unknown addresses too (`throttle_id` leads to a user or to none)."""

    throttle_id: int


@dataclass(frozen=True)
class SendConfirmEmailChange(MailTask, kind="send_confirm_email_change", title="Send email change confirmation"):
    """Send a link to the new address, unless it belongs to another account."""

    queue: ClassVar[str] = URGENT
    change_id: int


@dataclass(frozen=True)
class SendEmailChangeRequested(
    WarningTask, kind="send_email_change_requested", title="Notify of requested email change"
):
    """To the old address, with a link that undoes the change."""

    queue: ClassVar[str] = URGENT
    change_id: int


@dataclass(frozen=True)
class SendEmailChanged(WarningTask, kind="send_email_changed", title="Notify of email change"):
    """To the old address, when the change was confirmed; it has the same link that undoes it."""

    queue: ClassVar[str] = URGENT
    change_id: int


@dataclass(frozen=True)
class SendAccountDeactivated(WarningTask, kind="send_account_deactivated", title="Notify of deactivation"):
    user_id: int


@dataclass(frozen=True)
class SendAccountActivated(WarningTask, kind="send_account_activated", title="Notify of reactivation"):
    user_id: int


@dataclass(frozen=True)
class SendAccountDeleted(WarningTask, kind="send_account_deleted", title="Notify of deletion"):
    user_id: int


@dataclass(frozen=True)
class SendImpersonated(WarningTask, kind="send_impersonated", title="Notify of impersonation"):
    """Notice to a user that an administrator acted as them; `event_id` is when it began."""

    user_id: int
    event_id: int


@dataclass(frozen=True)
class SendAccountCreated(MailTask, kind="send_account_created", title="Send link to a new user"):
    """Send a link to choose a password to a user whose account `creator_id` created."""

    queue: ClassVar[str] = URGENT
    user_id: int
    creator_id: int | None


@dataclass(frozen=True)
class SendInvitation(MailTask, kind="send_invitation", title="Send invitation"):
    """Send a link to set name and password to the invited address; the email names the user `inviter_id`."""

    queue: ClassVar[str] = URGENT
    user_id: int
    inviter_id: int | None


@dataclass(frozen=True)
class ExportOwnData(MailTask, kind="export_own_data", title="Export user data"):
    """Make the copy of a user's data in the file, and tell them."""

    queue: ClassVar[str] = BULK
    user_id: int
    file_id: int


@dataclass(frozen=True)
class SendSample(MailTask, kind="send_sample", title="Send sample email"):
    """Send a sample email to the administrator who asked for it; `sample_id` is its index in the list of samples."""

    user_id: int
    sample_id: int


@dataclass(frozen=True)
class SendTokenReused(WarningTask, kind="send_token_reused", title="Notify of reused refresh token"):
    """Notice to the owner that a refresh token was used twice and the sign-in ended."""

    user_id: int
    event_id: int


@dataclass(frozen=True)
class SendApiKeyCreated(WarningTask, kind="send_api_key_made", title="Notify of new API key"):
    key_id: int


@dataclass(frozen=True)
class SendApiKeysNarrowed(MailTask, kind="send_api_keys_narrowed", title="Notify of changed API key scopes"):
    """Notify that keys created before scopes for the own account can do less; a migration enqueues it."""

    user_id: int


@dataclass(frozen=True)
class SendApiKeyExpires(MailTask, kind="send_api_key_expires", title="Notify of expiring API key"):
    key_id: int


@dataclass(frozen=True)
class WarnOfExpiringKeys(Task, kind="warn_of_expiring_keys", title="Find expiring API keys"):
    """Enqueue an email for each API key that expires soon."""

    queue: ClassVar[str] = BULK


@dataclass(frozen=True)
class PurgeUnconfirmed(Task, kind="purge_unconfirmed", title="Delete unconfirmed accounts"):
    """Delete accounts whose address was never confirmed."""

    queue: ClassVar[str] = BULK


@dataclass(frozen=True)
class EndExpiredSuspensions(Task, kind="settle_accounts", title="End expired suspensions"):
    """End what has run out: deactivations, the undo times of deleted accounts, impersonations."""

    queue: ClassVar[str] = BULK


@dataclass(frozen=True)
class SealAuditEvents(Task, kind="seal_audit_events", title="Seal audit log"):
    """Add audit events to the chain of hashes, and delete those past their retention."""

    queue: ClassVar[str] = BULK


@dataclass(frozen=True)
class SaveLastSeen(Task, kind="note_uses", title="Save last-seen times"):
    """Write when sessions and API keys were last used, as collected in Redis or Valkey."""

    queue: ClassVar[str] = BULK


@dataclass(frozen=True)
class CheckUserImport(Task, kind="check_user_import", title="Check user import"):
    """Read the file of an import, and say what each row would do."""

    queue: ClassVar[str] = BULK
    import_id: int


@dataclass(frozen=True)
class ApplyUserImport(Task, kind="apply_user_import", title="Run user import"):
    queue: ClassVar[str] = BULK
    import_id: int


@dataclass(frozen=True)
class CountStatistics(Task, kind="count_statistics", title="Update reports"):
    """Count what reports show."""

    queue: ClassVar[str] = BULK


@dataclass(frozen=True)
class SendWeeklyReports(Task, kind="send_weekly_reports", title="Send weekly reports"):
    """Enqueue a report for each subscriber."""

    queue: ClassVar[str] = BULK


@dataclass(frozen=True)
class SendWeeklyReport(MailTask, kind="send_weekly_report", title="Send weekly report"):
    queue: ClassVar[str] = BULK
    user_id: int


@dataclass(frozen=True)
class PurgeExpired(Task, kind="purge_expired", title="Delete expired data"):
    """Delete ended sessions and links, idle throttles, finished jobs and old email records."""

    queue: ClassVar[str] = BULK


@dataclass(frozen=True)
class NoOperation(Task, kind="no_operation", title="Do nothing"):
    """Does nothing: for `make bench` and for checking the workers."""
