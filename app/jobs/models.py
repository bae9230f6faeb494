from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from app.core.lengths import MAX_OUTCOME_LENGTH
from app.core.models import OWN_DATA, Base, BigId, partial_index


class JobState(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    DEAD = "dead"
    CANCELLED = "cancelled"


OPEN = text("state IN ('waiting', 'running')")


class Job(Base):
    """A unit of background work, committed in the transaction that enqueued it (transactional outbox).

    `attempts` is the fencing token of a claim, `lease_until` the end of its lease, `notified_at` when the workers were
    last notified. A task with steps stores its progress: `progress_done` of `progress_total` (None: unknown),
    `progress_before` when the current attempt started, and `position`, from which a later attempt continues.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        # `JobQueue.rescue` reads open jobs only, however long the history grows.
        partial_index("ix_jobs_due", "run_after", where=OPEN),
        Index("ix_jobs_state", "state", "id"),
        Index("ix_jobs_kind", "kind", "id"),
        Index("ix_jobs_finished_at", "finished_at"),
        {"sqlite_autoincrement": True, "info": {OWN_DATA: None}},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    kind: Mapped[str] = mapped_column(String(64))
    arguments: Mapped[dict[str, Any]]
    queue: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16), default=JobState.WAITING)
    run_after: Mapped[datetime]
    dedupe_key: Mapped[str | None] = mapped_column(String(128), unique=True)
    attempts: Mapped[int] = mapped_column(default=0)
    max_attempts: Mapped[int]
    lease_until: Mapped[datetime | None]
    notified_at: Mapped[datetime | None]
    progress_done: Mapped[int] = mapped_column(server_default="0")
    progress_total: Mapped[int | None]
    progress_before: Mapped[int] = mapped_column(server_default="0")
    position: Mapped[dict[str, Any] | None]
    outcome: Mapped[str | None] = mapped_column(String(MAX_OUTCOME_LENGTH))
    traceback: Mapped[str | None] = mapped_column(Text)
    worker: Mapped[str | None] = mapped_column(String(100))
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"), index=True)
    request_id: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    claimed_at: Mapped[datetime | None]
    cancel_requested_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    @property
    def is_retrying(self) -> bool:
        """Return whether an attempt failed and another follows."""
        return self.state == JobState.WAITING and self.attempts > 0


class SchedulePause(Base):
    """A schedule entry that enqueues nothing until the row is deleted."""

    __tablename__ = "schedule_pauses"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    paused_at: Mapped[datetime]
