"""The schedule: periodic jobs. Each is a row with the key `name:period`, so several schedulers enqueue it once.

A missed period is not made up for: the next one does the same work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import cast

from sqlalchemy import delete, select
from sqlalchemy.orm import Session as DbSession

from app.errors import CannotBePaused, ScheduleNotFound
from app.models import Job, SchedulePause
from app.services.audit import AuditLog
from app.services.job_queue import JobQueue
from app.services.statements import affected, insert_once
from app.tasks import (
    CountStatistics,
    NoteUses,
    PurgeExpired,
    PurgeUnconfirmed,
    SealAuditEvents,
    SendWeeklyReports,
    SettleAccounts,
    Task,
    WarnOfExpiringKeys,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Entry:
    name: str
    every: timedelta
    task: Task
    offset: timedelta = timedelta()
    can_pause: bool = True

    def begin(self, at: datetime) -> datetime:
        """The beginning of the period that `at` falls in, counted from the epoch (a Thursday) and `offset`."""
        return EPOCH + self.offset + (at - EPOCH - self.offset) // self.every * self.every

    def key(self, at: datetime) -> str:
        return f"{self.name}:{self.begin(at):%Y-%m-%dT%H:%M}"


SCHEDULE = (
    Entry("purge-unconfirmed", timedelta(hours=1), PurgeUnconfirmed()),
    # They tell people who acted as them, and keep the audit log from changes.
    Entry("settle-accounts", timedelta(minutes=5), SettleAccounts(), can_pause=False),
    Entry("seal-audit-events", timedelta(minutes=15), SealAuditEvents(), can_pause=False),
    Entry("note-uses", timedelta(minutes=5), NoteUses()),
    Entry("count-statistics", timedelta(minutes=5), CountStatistics()),
    # Mondays at 6 in the morning, UTC.
    Entry("send-weekly-reports", timedelta(days=7), SendWeeklyReports(), offset=timedelta(days=4, hours=6)),
    Entry("purge-expired", timedelta(hours=6), PurgeExpired()),
    Entry("warn-of-expiring-keys", timedelta(hours=12), WarnOfExpiringKeys()),
)


def next_start(at: datetime) -> datetime:
    """When the next period of any entry begins."""
    return min(entry.begin(at) + entry.every for entry in SCHEDULE)


@dataclass(frozen=True, slots=True)
class Planned:
    """An entry as it stands: its last job, of the schedule or started by hand, and when it runs next."""

    entry: Entry
    last: Job | None
    next_at: datetime | None
    paused_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Schedule:
    session: DbSession
    audit: AuditLog
    job_queue: JobQueue
    clock: Callable[[], datetime]

    def enqueue_due(self) -> None:
        """Enqueue the jobs of the current periods, unless that was done or the entry is paused."""
        now = self.clock()
        paused = self._paused()
        for entry in SCHEDULE:
            if entry.name not in paused and not self.job_queue.was_enqueued(entry.key(now)):
                self.job_queue.enqueue(entry.task, dedupe_key=entry.key(now))

    def list(self) -> list[Planned]:
        return [*self._planned()]

    def pause(self, name: str) -> None:
        """Raises ScheduleNotFound, CannotBePaused. Pausing what is paused changes nothing."""
        entry = _entry(name)
        if not entry.can_pause:
            raise CannotBePaused
        row = {"name": entry.name, "paused_at": self.clock()}
        inserted = insert_once(self.session, SchedulePause).on_conflict_do_nothing().returning(SchedulePause.name)
        if self.session.execute(inserted, row).scalar() is not None:
            self.audit.record("schedule.paused", subject_id=None, entry=name)

    def resume(self, name: str) -> None:
        """Raises ScheduleNotFound."""
        if affected(self.session, delete(SchedulePause).where(SchedulePause.name == _entry(name).name)):
            self.audit.record("schedule.resumed", subject_id=None, entry=name)

    def run_now(self, name: str) -> int:
        """Enqueue the entry's job apart from its periods, paused or not; returns its id. Raises ScheduleNotFound."""
        job_id = cast(int, self.job_queue.enqueue(_entry(name).task))  # Only one with a key can be there already.
        self.audit.record("schedule.run", subject_id=None, entry=name, job=job_id)
        return job_id

    def _planned(self) -> Iterator[Planned]:
        now, paused = self.clock(), self._paused()
        for entry in SCHEDULE:
            ran = select(Job).where(Job.kind == entry.task.kind()).order_by(Job.id.desc()).limit(1)
            paused_at = paused.get(entry.name)
            due = now if not self.job_queue.was_enqueued(entry.key(now)) else entry.begin(now) + entry.every
            yield Planned(entry, self.session.scalar(ran), None if paused_at else due, paused_at)

    def _paused(self) -> dict[str, datetime]:
        """Without those that an earlier release let be paused."""
        rows = {row.name: row.paused_at for row in self.session.scalars(select(SchedulePause))}
        return {entry.name: rows[entry.name] for entry in SCHEDULE if entry.can_pause and entry.name in rows}


def _entry(name: str) -> Entry:
    for entry in SCHEDULE:
        if entry.name == name:
            return entry
    raise ScheduleNotFound(f"The schedule has no entry {name}.")
