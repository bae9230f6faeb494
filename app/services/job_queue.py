"""The job queue in the database (a transactional outbox): a job is a row of the transaction that enqueued it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from secrets import SystemRandom
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.orm import Session as DbSession

from app.errors import JobNotCancellable, JobNotFound, JobNotRetryable, LeaseLost
from app.models import OPEN, Job, JobState
from app.services.audit import Origin
from app.services.lifetimes import Lifetimes
from app.services.statements import affected, insert_once
from app.tasks import Task

FIRST_DELAY, LONGEST_DELAY = timedelta(seconds=5), timedelta(hours=1)
_chance = SystemRandom()


@dataclass(frozen=True, slots=True)
class DueJob:
    """A due job, and the queue to notify."""

    job_id: int
    queue: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A job held until its lease ends; `attempt` is the fencing token."""

    job_id: int
    kind: str
    arguments: dict[str, Any]
    attempt: int
    request_id: str | None


@dataclass(frozen=True, kw_only=True)
class JobQueue:
    """`notify` receives every due job; the notifications are sent after the commit."""

    session: DbSession
    lifetimes: Lifetimes
    clock: Callable[[], datetime]
    notify: Callable[[DueJob], None]
    origin: Origin

    def today(self) -> str:
        return self.clock().date().isoformat()

    def enqueue(self, task: Task, *, dedupe_key: str | None = None) -> int | None:
        """Add the job and return its id; None when a job with that key was enqueued before."""
        now = self.clock()
        job_id: int | None = self.session.execute(
            insert_once(self.session, Job).on_conflict_do_nothing(index_elements=[Job.dedupe_key]).returning(Job.id),
            {
                "kind": task.kind(),
                "arguments": task.arguments(),
                "queue": task.queue,
                "state": JobState.WAITING,
                "run_after": now,
                "dedupe_key": dedupe_key,
                "attempts": 0,
                "progress": 0,
                "max_attempts": task.max_attempts,
                "owner_id": self.origin.principal.user_id if self.origin.principal else None,
                "request_id": self.origin.visit.request_id,
                "created_at": now,
                "notified_at": now,
            },
        ).scalar()
        if job_id is not None:
            self.notify(DueJob(job_id, task.queue))
        return job_id

    def was_enqueued(self, dedupe_key: str) -> bool:
        return self.session.scalar(select(Job.id).where(Job.dedupe_key == dedupe_key)) is not None

    # ── what a worker does ──

    def claim(self, job_id: int) -> Claim | None:
        """Claim the job until its lease ends; None if it is not due, held, or finished."""
        now = self.clock()
        row = self.session.execute(
            update(Job)
            .where(Job.id == job_id, Job.attempts < Job.max_attempts, self._is_free(now))
            .values(
                state=JobState.RUNNING,
                attempts=Job.attempts + 1,
                lease_until=now + self.lifetimes.job_lease,
                started_at=func.coalesce(Job.started_at, now),
            )
            .returning(Job.kind, Job.arguments, Job.attempts, Job.request_id)
            .execution_options(synchronize_session=False)
        ).first()
        return Claim(job_id, row.kind, row.arguments, row.attempts, row.request_id) if row else None

    def complete(self, claim: Claim, *, outcome: str | None = None) -> None:
        """Mark the job done. Raises LeaseLost, so that this transaction is rolled back."""
        self._settle(
            claim, state=JobState.DONE, progress=100, outcome=outcome, finished_at=self.clock(), lease_until=None
        )

    def heartbeat(self, claim: Claim, *, progress: int) -> None:
        """Renew the lease and store the progress in percent. Raises LeaseLost."""
        self._settle(claim, progress=progress, lease_until=self.clock() + self.lifetimes.job_lease)

    def retry_later(self, claim: Claim, *, outcome: str) -> None:
        """Schedule another try, doubling the wait each time, or mark the job dead after its last."""
        now = self.clock()
        row = self.session.get(Job, claim.job_id)
        if row is not None and claim.attempt >= row.max_attempts:
            self.discard(claim, outcome=outcome)
            return
        delay = min(FIRST_DELAY * 2 ** (claim.attempt - 1), LONGEST_DELAY) * _chance.uniform(0.8, 1.2)
        self._settle(
            claim, state=JobState.WAITING, outcome=outcome, run_after=now + delay, lease_until=None, notified_at=None
        )

    def discard(self, claim: Claim, *, outcome: str) -> None:
        """Mark the job dead: no retry can help."""
        self._settle(claim, state=JobState.DEAD, outcome=outcome, finished_at=self.clock(), lease_until=None)

    def _settle(self, claim: Claim, **values: Any) -> None:
        settled = affected(
            self.session,
            update(Job)
            .where(Job.id == claim.job_id, Job.state == JobState.RUNNING, Job.attempts == claim.attempt)
            .values(**values)
            .execution_options(synchronize_session=False),
        )
        if settled != 1:
            raise LeaseLost

    # ── what the schedule does ──

    def rescue(self, *, at_most: int = 500) -> int:
        """Notify again of due jobs that nobody holds, and mark those dead whose last try never finished."""
        now = self.clock()
        self.session.execute(
            update(Job)
            .where(Job.state == JobState.RUNNING, Job.lease_until < now, Job.attempts >= Job.max_attempts)
            .values(state=JobState.DEAD, finished_at=now, lease_until=None, outcome="its last try never came back")
            .execution_options(synchronize_session=False)
        )
        due = self.session.execute(
            select(Job.id, Job.queue)
            .where(
                OPEN,  # Word for word the condition of the partial index.
                self._is_free(now),
                Job.run_after <= now,
                or_(Job.notified_at.is_(None), Job.notified_at < now - self.lifetimes.notify_again),
            )
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

    def count_overdue(self, *, by: timedelta) -> int:
        """The number of jobs that are overdue by more than `by`."""
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

    # ── what people do ──

    def get(self, job_id: int) -> Job:
        job = self.session.get(Job, job_id)
        if job is None:
            raise JobNotFound(f"There is no job {job_id}.")
        return job

    def list(self, *, states: Iterable[str] = (), limit: int = 50, before: int | None = None) -> list[Job]:
        """Newest first; `states` empty means all."""
        query = select(Job).order_by(Job.id.desc()).limit(limit)
        wanted = list(states)
        if wanted:
            query = query.where(Job.state.in_(wanted))
        if before is not None:
            query = query.where(Job.id < before)
        return [*self.session.scalars(query)]

    def retry(self, job_id: int) -> None:
        """Retry a dead or cancelled job now, with all its tries. Raises JobNotFound, JobNotRetryable."""
        now = self.clock()
        job = self.get(job_id)
        again = affected(
            self.session,
            update(Job)
            .where(Job.id == job_id, Job.state.in_([JobState.DEAD, JobState.CANCELLED]))
            .values(
                state=JobState.WAITING,
                run_after=now,
                notified_at=now,
                lease_until=None,
                finished_at=None,
                progress=0,
                max_attempts=Job.attempts + Task.max_attempts,
            ),
        )
        if again != 1:
            raise JobNotRetryable
        self.notify(DueJob(job_id, job.queue))

    def cancel(self, job_id: int) -> None:
        """Raises JobNotFound, JobNotCancellable once a worker has it."""
        self.get(job_id)
        cancelled = affected(
            self.session,
            update(Job)
            .where(Job.id == job_id, Job.state == JobState.WAITING)
            .values(state=JobState.CANCELLED, finished_at=self.clock()),
        )
        if cancelled != 1:
            raise JobNotCancellable
