"""Tasks: frozen dataclasses that hold only IDs. Their handlers are in `app/jobs`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, dataclass_transform

URGENT, DEFAULT, BULK = "urgent", "default", "bulk"
QUEUES = (URGENT, DEFAULT, BULK)


@dataclass_transform(frozen_default=True)
@dataclass(frozen=True)
class Task:
    """Base class of tasks, which are frozen dataclasses; the names of its fields are stored with each job.

    `kind` is the stored name, `title` the one on pages. `queue` is the priority. After `max_attempts` failed attempts
    the job is dead. Nobody can cancel a task that `is_warning`: it warns a user about their account.
    """

    kind: ClassVar[str] = ""
    title: ClassVar[str] = ""
    queue: ClassVar[str] = DEFAULT
    is_warning: ClassVar[bool] = False
    max_attempts: ClassVar[int] = 8
    kinds: ClassVar[dict[str, type[Task]]] = {}

    def __init_subclass__(cls, *, kind: str = "", title: str = "", queue: str = "") -> None:
        super().__init_subclass__()
        dataclass(frozen=True)(cls)
        cls.queue = queue or cls.queue
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


class ResetFactors(Task, kind="reset_factors", title="Reset second factors"):
    reset_id: int


class ExportOwnData(MailTask, kind="export_own_data", title="Export user data", queue=BULK):
    """Make the copy of a user's data in the file, and tell them."""

    user_id: int
    file_id: int


class SendSample(MailTask, kind="send_sample", title="Send sample email"):
    """Send a sample email to the administrator who asked for it; `sample_id` is its index in the list of samples."""

    user_id: int
    sample_id: int


class WarnOfExpiringKeys(Task, kind="warn_of_expiring_keys", title="Find expiring API keys", queue=BULK):
    """Enqueue an email for each API key that expires soon."""


class PurgeUnconfirmed(Task, kind="purge_unconfirmed", title="Delete unconfirmed accounts", queue=BULK):
    """Delete accounts whose address was never confirmed."""


class EndExpiredSuspensions(Task, kind="settle_accounts", title="End expired suspensions", queue=BULK):
    """End what has run out: deactivations, the undo times of deleted accounts, impersonations."""


class SealAuditEvents(Task, kind="seal_audit_events", title="Seal audit log", queue=BULK):
    """Add audit events to the chain of hashes, and delete those past their retention."""


class SaveLastSeen(Task, kind="note_uses", title="Save last-seen times", queue=BULK):
    """Write when sessions and API keys were last used, as collected in Redis or Valkey."""


class CheckUserImport(Task, kind="check_user_import", title="Check user import", queue=BULK):
    """Read the file of an import, and say what each row would do."""

    import_id: int


class ApplyUserImport(Task, kind="apply_user_import", title="Run user import", queue=BULK):
    import_id: int


class CountStatistics(Task, kind="count_statistics", title="Update reports", queue=BULK):
    """Count what reports show."""


class SendWeeklyReports(Task, kind="send_weekly_reports", title="Send weekly reports", queue=BULK):
    """Enqueue a report for each subscriber."""


class PurgeExpired(Task, kind="purge_expired", title="Delete expired data", queue=BULK):
    """Delete ended sessions and links, idle throttles, finished jobs and old email records."""


class NoOperation(Task, kind="no_operation", title="Do nothing"):
    """Does nothing: for `make bench` and for checking the workers."""
