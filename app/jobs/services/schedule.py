"""The schedule of periodic jobs; each has the unique key `name:period`, so several schedulers enqueue it once.

A missed period is not repeated: the next one does the same work.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import cast

from sqlalchemy import delete, select

from app.audit.services.log import AuditLog
from app.core import errors
from app.core.dialects import rowcount, upsert
from app.core.service import Service
from app.jobs.models import Job, SchedulePause
from app.jobs.services.queue import JobQueue
from app.jobs.tasks import Task

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Entry:
    name: str
    task: Task
    every: timedelta
    can_pause: bool = True

    def begin(self, at: datetime, zone: tzinfo) -> datetime:
        """Return the start of the period that contains `at`, counted from the epoch."""
        return EPOCH + (at - EPOCH) // self.every * self.every

    def next_begin(self, at: datetime, zone: tzinfo) -> datetime:
        return self.begin(at, zone) + self.every

    def key(self, at: datetime, zone: tzinfo) -> str:
        return f"{self.name}:{self.begin(at, zone):%Y-%m-%dT%H:%M}"


@dataclass(frozen=True, slots=True)
class WeeklyEntry(Entry):
    """An entry whose periods start on Mondays at 6:00 in the site's time zone."""

    every: timedelta = timedelta(days=7)

    def begin(self, at: datetime, zone: tzinfo) -> datetime:
        today = at.astimezone(zone).date()
        begin = _six_in_the_morning(today - timedelta(days=today.weekday()), zone)
        return begin if begin <= at else _six_in_the_morning(begin.date() - timedelta(days=7), zone)

    def next_begin(self, at: datetime, zone: tzinfo) -> datetime:
        # Not 168 hours: daylight saving time may change.
        return _six_in_the_morning(self.begin(at, zone).date() + timedelta(days=7), zone)


def _six_in_the_morning(day: date, zone: tzinfo) -> datetime:
    return datetime.combine(day, time(6), zone)


@dataclass(frozen=True, slots=True)
class Planned:
    """The state of an entry: its last job, scheduled or started by hand, and its next run."""

    entry: Entry
    last: Job | None
    next_at: datetime | None
    paused_at: datetime | None


class Schedule(Service):
    audit: AuditLog
    entries: tuple[Entry, ...]
    job_queue: JobQueue
    zone: tzinfo

    def enqueue_due(self) -> None:
        """Enqueue the jobs of the current periods, unless that was done or the entry is paused."""
        now = self.clock()
        paused = self._paused()
        for entry in self.entries:
            key = entry.key(now, self.zone)
            if entry.name not in paused and not self.job_queue.was_enqueued(key):
                self.job_queue.enqueue(entry.task, dedupe_key=key)

    def list(self) -> list[Planned]:
        return [*self._planned()]

    def pause(self, name: str) -> None:
        """Pause an entry; no change if it is paused. Raises ScheduleNotFound, CannotBePaused."""
        entry = self._entry(name)
        if not entry.can_pause:
            raise errors.CannotBePaused
        row = {"name": entry.name, "paused_at": self.clock()}
        inserted = upsert(self.session, SchedulePause).on_conflict_do_nothing().returning(SchedulePause.name)
        if self.session.execute(inserted, row).scalar() is not None:
            self.audit.record("schedule.paused", subject_id=None, entry=name)

    def resume(self, name: str) -> None:
        """Raises ScheduleNotFound."""
        if rowcount(self.session, delete(SchedulePause).where(SchedulePause.name == self._entry(name).name)):
            self.audit.record("schedule.resumed", subject_id=None, entry=name)

    def run_now(self, name: str) -> int:
        """Enqueue the entry's job apart from its periods, paused or not; returns its id. Raises ScheduleNotFound."""
        job_id = cast(int, self.job_queue.enqueue(self._entry(name).task))  # Only one with a key can be there already.
        self.audit.record("schedule.run", subject_id=None, entry=name, job=job_id)
        return job_id

    def _planned(self) -> Iterator[Planned]:
        now, paused = self.clock(), self._paused()
        for entry in self.entries:
            ran = select(Job).where(Job.kind == entry.task.kind).order_by(Job.id.desc()).limit(1)
            paused_at = paused.get(entry.name)
            is_enqueued = self.job_queue.was_enqueued(entry.key(now, self.zone))
            due = entry.next_begin(now, self.zone).astimezone(UTC) if is_enqueued else now
            yield Planned(entry, self.session.scalar(ran), None if paused_at else due, paused_at)

    def _paused(self) -> dict[str, datetime]:
        """Return paused entries, without those that only an earlier release could pause."""
        rows = {row.name: row.paused_at for row in self.session.scalars(select(SchedulePause))}
        return {entry.name: rows[entry.name] for entry in self.entries if entry.can_pause and entry.name in rows}

    def _entry(self, name: str) -> Entry:
        for entry in self.entries:
            if entry.name == name:
                return entry
        raise errors.ScheduleNotFound(f"No schedule entry {name}.")
