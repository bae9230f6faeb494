"""The job queue in the database (a transactional outbox): a job is a row of the transaction that enqueued it."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from secrets import SystemRandom
from typing import Any, cast

from sqlalchemy import ColumnElement, TextClause, and_, func, or_, select, update

from app.core import errors
from app.core.dialects import upsert
from app.core.lifetimes import Lifetimes
from app.core.principal import Origin
from app.core.service import Service
from app.jobs.models import OPEN, Job, JobState
from app.jobs.tasks import QUEUES, Task

FIRST_DELAY, MAX_DELAY = timedelta(seconds=5), timedelta(hours=1)
# A due job that no worker claims in that time points to a problem.
OVERDUE = timedelta(minutes=5)
STOPPED = "cancelled while running; completed steps stay"
_chance = SystemRandom()


@dataclass(frozen=True, slots=True)
class DueJob:
    """A due job, and the queue to notify."""

    job_id: int
    queue: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A job held until its lease ends; `attempt` is the fencing token.

    `position` and `done` are where an earlier try of a task done in steps got to.
    """

    job_id: int
    kind: str
    arguments: dict[str, Any]
    attempt: int
    request_id: str | None
    position: dict[str, Any] | None = None
    done: int = 0


class JobQueue(Service):
    """`notify` receives every due job; the notifications are sent after the commit."""

    lifetimes: Lifetimes
    notify: Callable[[DueJob], None]
    origin: Origin

    def today(self) -> str:
        return self.clock().date().isoformat()

    def enqueue(self, task: Task, *, dedupe_key: str | None = None, run_after: datetime | None = None) -> int | None:
        """Add the job, for now or for later, and return its id; None when one with that key was enqueued before."""
        now = self.clock()
        job_id: int | None = self.session.execute(
            upsert(self.session, Job).on_conflict_do_nothing(index_elements=[Job.dedupe_key]).returning(Job.id),
            {
                "kind": task.kind,
                "arguments": task.arguments(),
                "queue": task.queue,
                "state": JobState.WAITING,
                "run_after": run_after or now,
                "dedupe_key": dedupe_key,
                "attempts": 0,
                "max_attempts": task.max_attempts,
                "owner_id": self.origin.principal.user_id if self.origin.principal else None,
                "request_id": self.origin.visit.request_id,
                "created_at": now,
                "notified_at": now,
            },
        ).scalar()
        if job_id is not None and run_after is None:
            self.notify(DueJob(job_id, task.queue))
        return job_id

    def was_enqueued(self, dedupe_key: str) -> bool:
        return self.session.scalar(select(Job.id).where(Job.dedupe_key == dedupe_key)) is not None

    # ── workers ──

    def claim(self, job_id: int, *, worker: str | None = None) -> Claim | None:
        """Claim the job until its lease ends; None if it is not due, held, or finished."""
        now = self.clock()
        row = self.session.execute(
            update(Job)
            .where(
                Job.id == job_id,
                Job.attempts < Job.max_attempts,
                Job.cancel_requested_at.is_(None),
                self._is_free(now),
            )
            .values(
                state=JobState.RUNNING,
                attempts=Job.attempts + 1,
                lease_until=now + timedelta(seconds=self.lifetimes.job_lease_seconds),
                started_at=func.coalesce(Job.started_at, now),
                claimed_at=now,
                worker=worker,
                progress_before=Job.progress_done,
            )
            .returning(Job.kind, Job.arguments, Job.attempts, Job.request_id, Job.position, Job.progress_done)
            .execution_options(synchronize_session=False)
        ).first()
        return Claim(job_id, *row) if row else None

    def complete(self, claim: Claim, *, outcome: str | None = None) -> None:
        """Mark the job done. Raises LeaseLost, so that this transaction is rolled back."""
        self._end(claim, JobState.DONE, outcome=outcome, traceback=None)

    def heartbeat(
        self, claim: Claim, *, done: int | None = None, total: int | None = None, position: dict[str, Any] | None = None
    ) -> None:
        """Renew the lease and store the progress. Raises LeaseLost, JobCancelled.

        A try that gets further than those before it gives the job all its tries back.
        """
        values: dict[str, Any] = {"lease_until": self.clock() + timedelta(seconds=self.lifetimes.job_lease_seconds)}
        if done is not None:
            values |= {"progress_done": done, "progress_total": total, "position": position}
            if done > claim.done:
                values["max_attempts"] = claim.attempt - 1 + Task.kinds[claim.kind].max_attempts
        if self._settle(claim, **values) is not None:
            raise errors.JobCancelled

    def hand_back(self, claim: Claim) -> None:
        """Let another worker continue from the last position; the attempt does not count. Raises LeaseLost."""
        now = self.clock()
        self._put_back(claim, run_after=now, notified_at=now, max_attempts=Job.max_attempts + 1)
        self.notify(DueJob(claim.job_id, Task.kinds[claim.kind].queue))

    def retry_later(self, claim: Claim, *, outcome: str, traceback: str | None = None) -> None:
        """Schedule another attempt, doubling the wait each time, or mark the job dead after its last."""
        now = self.clock()
        row = self.session.get(Job, claim.job_id)
        if row is not None and claim.attempt >= row.max_attempts:
            self.discard(claim, outcome=outcome, traceback=traceback)
            return
        delay = min(FIRST_DELAY * 2 ** min(claim.attempt - 1, 16), MAX_DELAY) * _chance.uniform(0.8, 1.2)
        self._put_back(claim, outcome=outcome, traceback=traceback, run_after=now + delay, notified_at=None)

    def discard(self, claim: Claim, *, outcome: str, traceback: str | None = None) -> None:
        """Mark the job dead: no retry can help."""
        self._end(claim, JobState.DEAD, outcome=outcome, traceback=traceback)

    def stop(self, claim: Claim) -> None:
        """End a job whose cancellation was requested while it ran; its finished steps stay. Raises LeaseLost."""
        self._end(claim, JobState.CANCELLED, outcome=STOPPED)

    def _put_back(self, claim: Claim, **values: Any) -> None:
        if self._settle(claim, state=JobState.WAITING, lease_until=None, **values) is not None:
            self.session.execute(
                update(Job)
                .where(Job.id == claim.job_id)
                .values(state=JobState.CANCELLED, finished_at=self.clock())
                .execution_options(synchronize_session=False)
            )

    def _end(self, claim: Claim, state: JobState, **values: Any) -> None:
        self._settle(claim, state=state, finished_at=self.clock(), lease_until=None, **values)

    def _settle(self, claim: Claim, **values: Any) -> datetime | None:
        """Set the final state; return when cancellation was requested, if it was. Raises LeaseLost."""
        row = self.session.execute(
            update(Job)
            .where(Job.id == claim.job_id, Job.state == JobState.RUNNING, Job.attempts == claim.attempt)
            .values(**values)
            .returning(Job.cancel_requested_at)
            .execution_options(synchronize_session=False)
        ).first()
        if row is None:
            raise errors.LeaseLost
        return cast("datetime | None", row.cancel_requested_at)

    # ── the schedule ──

    def rescue(self, *, queues: Collection[str] = QUEUES, at_most: int = 500) -> int:
        """Notify these queues again of due jobs that no worker holds; return their number.

        Also ends cancelled jobs, and jobs whose last attempt never finished.
        """
        now = self.clock()
        self.session.execute(
            update(Job)
            .where(Job.state == JobState.RUNNING, Job.lease_until < now, Job.cancel_requested_at.is_not(None))
            .values(state=JobState.CANCELLED, finished_at=now, lease_until=None, outcome=STOPPED)
            .execution_options(synchronize_session=False)
        )
        self.session.execute(
            update(Job)
            .where(Job.state == JobState.RUNNING, Job.lease_until < now, Job.attempts >= Job.max_attempts)
            .values(
                state=JobState.DEAD,
                finished_at=now,
                lease_until=None,
                outcome="the worker stopped during the last attempt",
            )
            .execution_options(synchronize_session=False)
        )
        due = self.session.execute(
            select(Job.id, Job.queue)
            .where(Job.queue.in_(queues), *self._is_forgotten(now))
            .order_by(Job.run_after)
            .limit(at_most)
            .with_for_update(skip_locked=True)
        ).all()
        if due:
            ids = [row.id for row in due]
            self.session.execute(
                update(Job).where(Job.id.in_(ids)).values(notified_at=now).execution_options(synchronize_session=False)
            )
        for row in due:
            self.notify(DueJob(row.id, row.queue))
        return len(due)

    def has_forgotten(self) -> bool:
        """Return whether `rescue` has work, with one statement that reads an index."""
        now = self.clock()
        given_up = and_(Job.state == JobState.RUNNING, Job.lease_until < now)
        some = select(Job.id).where(OPEN, or_(given_up, and_(*self._is_forgotten(now)))).limit(1)
        return self.session.scalar(some) is not None

    def _is_forgotten(self, now: datetime) -> tuple[ColumnElement[bool] | TextClause, ...]:
        """Return conditions for due jobs that no worker holds, and whose notification is missing or too old."""
        return (
            OPEN,  # Word for word the condition of the partial index.
            self._is_free(now),
            Job.run_after <= now,
            or_(
                Job.notified_at.is_(None),
                Job.notified_at < now - timedelta(seconds=self.lifetimes.notify_again_seconds),
            ),
        )

    def oldest_due(self) -> timedelta:
        """Return how long the oldest due job has waited; zero if none is due."""
        now = self.clock()
        since = self.session.scalar(
            select(Job.run_after).where(OPEN, self._is_free(now), Job.run_after <= now).order_by(Job.run_after).limit(1)
        )
        return now - since if since else timedelta()

    def count_overdue(self, *, by: timedelta) -> int:
        """Return the number of jobs overdue by more than `by`."""
        limit = self.clock() - by
        return (
            self.session.scalar(
                select(func.count()).select_from(Job).where(OPEN, Job.state == JobState.WAITING, Job.run_after < limit)
            )
            or 0
        )

    @staticmethod
    def _is_free(now: datetime) -> ColumnElement[bool]:
        return or_(
            and_(Job.state == JobState.WAITING, Job.run_after <= now),
            and_(Job.state == JobState.RUNNING, Job.lease_until < now),
        )
