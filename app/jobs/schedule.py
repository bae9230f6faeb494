"""Periodic jobs. Each is a row with the key `name:period`, so several schedulers enqueue it once.

A missed period is not made up for: the next one does the same work.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from app.extensions import now
from app.tasks import PurgeExpired, PurgeUnconfirmed, SealAuditEvents, SettleAccounts, Task, WarnOfExpiringKeys
from app.unit_of_work import Work, unit_of_work


@dataclass(frozen=True, slots=True)
class Tick:
    name: str
    every: timedelta
    task: Task

    def key(self, at: datetime) -> str:
        """The period that `at` falls in, counted from the epoch."""
        period = int(at.timestamp() // self.every.total_seconds())
        return f"{self.name}:{datetime.fromtimestamp(period * self.every.total_seconds(), UTC):%Y-%m-%dT%H:%M}"


SCHEDULE = (
    Tick("purge-unconfirmed", timedelta(hours=1), PurgeUnconfirmed()),
    Tick("settle-accounts", timedelta(minutes=5), SettleAccounts()),
    Tick("seal-audit-events", timedelta(minutes=15), SealAuditEvents()),
    Tick("purge-expired", timedelta(hours=6), PurgeExpired()),
    Tick("warn-of-expiring-keys", timedelta(hours=12), WarnOfExpiringKeys()),
)


def tick() -> int:
    """Enqueue the jobs of this period, and notify workers again of due ones; returns the number of the latter."""
    with unit_of_work() as work:
        for due in _due(work, now()):
            work.enqueue(due.task, dedupe_key=due.key(now()))
        return work.job_queue.rescue()


def _due(work: Work, at: datetime) -> Iterator[Tick]:
    for each in SCHEDULE:
        if not work.job_queue.was_enqueued(each.key(at)):
            yield each
