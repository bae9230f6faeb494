"""A round of the schedule."""

from __future__ import annotations

from app.extensions import notifier
from app.jobs.registry import origin_of
from app.unit_of_work import unit_of_work

ENOUGH = 500


def tick() -> int:
    """Enqueue the jobs of this period, and notify workers again of due ones; returns the number of the latter.

    A queue that is long, or away, is not notified: of a job that it still holds, a worker would be notified twice.
    """
    with_room = [name for name, length in notifier.lengths().items() if length < ENOUGH]
    with unit_of_work(origin=origin_of(None)) as work:
        work.schedule.enqueue_due()
        again = work.job_queue.rescue(queues=with_room)
    notifier.note_round()
    return again
