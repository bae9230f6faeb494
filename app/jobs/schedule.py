"""The schedule: rounds that enqueue the jobs of a period, and notify workers again of due ones."""

from __future__ import annotations

import logging
import signal
import threading

from flask import Flask

from app.extensions import DATABASE_AWAY, notifier, settings
from app.jobs.registry import origin_of
from app.unit_of_work import unit_of_work

log = logging.getLogger(__name__)

ENOUGH = 500


def run_schedule(app: Flask) -> None:
    """Run rounds until TERM or INT. Any number of these may run: a period's job has a unique key."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with app.app_context():
        while not stop.is_set():
            try:
                tick()
            except DATABASE_AWAY:
                log.exception("the database is away; the next round tries again")
            stop.wait(settings().schedule_seconds)


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
