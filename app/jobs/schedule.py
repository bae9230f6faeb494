"""The loop that enqueues scheduled jobs and notifies workers of due jobs again."""

import logging
import signal
from datetime import UTC, datetime, timedelta

from flask import Flask

from app.core.database import DATABASE_AWAY
from app.core.extensions import db, features, now, settings
from app.core.migration_state import first_line
from app.jobs.notifier import notifier
from app.jobs.registry import origin_of
from app.unit_of_work import reading, unit_of_work

log = logging.getLogger(__name__)

ENOUGH = 500
MAX_PAUSE = timedelta(seconds=30)


def run_schedule(app: Flask) -> None:
    """Run the schedule until TERM or INT. Several can run, because each period's job has a unique key.

    Signals stay blocked and are waited for: a handler could run while the lock it needs is held.
    """
    handled = {signal.SIGTERM, signal.SIGINT, signal.SIGALRM}
    signal.pthread_sigmask(signal.SIG_BLOCK, handled)
    rounds = Rounds()
    with app.app_context():
        while True:
            try:
                rounds.run_if_due()
            except DATABASE_AWAY as problem:
                reason = first_line(problem)
                log.error("the database is away; the next round tries again", extra={"reason": reason})  # noqa: TRY400
            signal.setitimer(signal.ITIMER_REAL, settings().schedule_seconds)
            if signal.sigwait(handled) != signal.SIGALRM:
                return


class Rounds:
    """Rounds of the schedule, run when there is something to do: most looks find nothing, and must cost little."""

    def __init__(self) -> None:
        self._next_at = datetime.min.replace(tzinfo=UTC)

    def run_if_due(self) -> bool:
        """Run the schedule if a period has begun, a job was forgotten, or the last run is half a minute ago; returns
        whether it ran.

        The regular run also shows that the schedule is alive, and enqueues resumed entries.
        """
        at = now()
        if at < self._next_at and not _has_forgotten_jobs():
            return False
        tick()
        begins = (entry.next_begin(at, settings().zone) for entry in features().schedule)
        self._next_at = min(*begins, at + MAX_PAUSE)
        return True


def _has_forgotten_jobs() -> bool:
    try:
        return reading().job_queue.has_forgotten()
    finally:
        db.session.close()


def tick() -> int:
    """Enqueue the jobs of this period, and notify workers again of due ones; returns the number of the latter.

    A queue that is long, or away, is not notified: of a job that it still holds, a worker would be notified twice.
    """
    with_room = [name for name, length in notifier.lengths().items() if length < ENOUGH]
    with unit_of_work(origin=origin_of(None)) as work:
        work.schedule.enqueue_due()
        again = work.job_queue.rescue(queues=with_room)
    notifier.record_heartbeat(at=now(), interval=settings().schedule_seconds)
    return again
