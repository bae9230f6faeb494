"""Job management: list, retry, run now, cancel."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, Update, case, func, select, update

from app.audit.services.log import AuditLog
from app.core import errors
from app.core.dialects import rowcount
from app.core.lifetimes import Lifetimes
from app.core.service import Service
from app.jobs.models import Job, JobState
from app.jobs.services.queue import DueJob
from app.jobs.tasks import Task

RETRYING = "retrying"
# Filters of the list: the states, and waiting jobs that failed before.
SITUATIONS = ("waiting", "running", RETRYING, "dead", "done", "cancelled")
ENDED_BADLY = ("dead", "cancelled")
MAX_RETRIED = 10_000


@dataclass(frozen=True, slots=True)
class JobFilter:
    """`situations` (of SITUATIONS) empty means all; `before` is the ID below which a page starts."""

    situations: tuple[str, ...] = ()
    kind: str | None = None
    before: int | None = None


@dataclass(frozen=True, slots=True)
class Pace:
    """The progress and speed of a job; None if unknown."""

    percent: int | None
    per_second: float | None
    left: timedelta | None


class JobBoard(Service):
    audit: AuditLog
    lifetimes: Lifetimes
    notify: Callable[[DueJob], None]

    def get(self, job_id: int) -> Job:
        """Raises JobNotFound."""
        job = self.session.get(Job, job_id)
        if job is None:
            raise errors.JobNotFound(f"There is no job {job_id}.")
        return job

    def list(self, filters: JobFilter | None = None, *, limit: int = 50) -> list[Job]:
        """Return a page of jobs, newest first."""
        filters = filters or JobFilter()
        query = _narrowed(select(Job), filters).order_by(Job.id.desc()).limit(limit)
        if filters.before is not None:
            query = query.where(Job.id < filters.before)
        return [*self.session.scalars(query)]

    def count(self, *states: JobState, at_most: int) -> tuple[int, ...]:
        """Return the number of jobs in each state, up to `at_most`, in one statement."""
        some = [select(Job.id).where(Job.state == state).limit(at_most).subquery() for state in states]
        counts = [select(func.count()).select_from(ids).scalar_subquery() for ids in some]
        return tuple(self.session.execute(select(*counts)).one())

    def count_dead(self) -> int:
        return self.session.scalar(select(func.count()).where(Job.state == JobState.DEAD)) or 0

    def busy_workers(self) -> set[str | None]:
        """Return the names of workers that hold a job: they report nothing to the queue while they work."""
        held = (Job.state == JobState.RUNNING, Job.lease_until > self.clock())
        return {*self.session.scalars(select(Job.worker).where(*held).distinct())}

    def retry(self, job_id: int) -> None:
        """Retry a dead or cancelled job now, with all its attempts. Raises JobNotFound, JobNotRetryable."""
        job = self.get(job_id)
        if not self._retry(Job.id == job_id, notified_at=self.clock()):
            raise errors.JobNotRetryable
        self.audit.record("job.retried", subject_id=None, job=job_id, task=job.kind)
        self.notify(DueJob(job_id, job.queue))

    def retry_all(self, filters: JobFilter, *, at_most: int = MAX_RETRIED) -> int:
        """Retry matching dead and cancelled jobs, oldest first; return their number. The schedule notifies workers."""
        ids = _narrowed(select(Job.id), filters).where(Job.state.in_(ENDED_BADLY)).order_by(Job.id).limit(at_most)
        retried = self._retry(Job.id.in_(ids.scalar_subquery()), notified_at=None)
        if retried:
            narrowed = ", ".join(filters.situations) or "all"
            self.audit.record(
                "jobs.retried", subject_id=None, count=retried, states=narrowed, task=filters.kind or "all"
            )
        return retried

    def run_now(self, job_id: int) -> None:
        """Make a waiting job due. Raises JobNotFound, JobNotStartable."""
        job, now = self.get(job_id), self.clock()
        if not self._change(job_id, JobState.WAITING, run_after=now, notified_at=now):
            raise errors.JobNotStartable
        self.audit.record("job.run", subject_id=None, job=job_id, task=job.kind)
        self.notify(DueJob(job_id, job.queue))

    def cancel(self, job_id: int) -> JobState:
        """Cancel a job; returns CANCELLED, or RUNNING if it stops after the current step (if its task has steps).

        Raises JobNotFound, JobNotCancellable, also for an email that warns a user.
        """
        job, now = self.get(job_id), self.clock()
        if is_warning(job.kind):
            raise errors.JobNotCancellable("This email warns a user about their account, so it can't be cancelled.")
        if self._change(job_id, JobState.WAITING, state=JobState.CANCELLED, finished_at=now):
            state = JobState.CANCELLED
        elif self._change(job_id, JobState.RUNNING, cancel_requested_at=now):
            state = JobState.RUNNING
        else:
            raise errors.JobNotCancellable
        self.audit.record("job.cancelled", subject_id=None, job=job_id, task=job.kind)
        return state

    def pace(self, job: Job) -> Pace:
        """Compute progress and speed of the current attempt."""
        done, total = job.progress_done, job.progress_total
        percent = min(100, done * 100 // total) if total else None
        if job.state != JobState.RUNNING or not (job.lease_until and job.claimed_at) or done <= job.progress_before:
            return Pace(percent, None, None)
        seconds = (
            job.lease_until - timedelta(seconds=self.lifetimes.job_lease_seconds) - job.claimed_at
        ).total_seconds()
        if seconds < 1:
            return Pace(percent, None, None)
        per_second = (done - job.progress_before) / seconds
        left = timedelta(seconds=(total - done) / per_second) if total and total >= done else None
        return Pace(percent, per_second, left)

    def _change(self, job_id: int, present: JobState, /, **values: Any) -> bool:
        return self._update(update(Job).where(Job.id == job_id, Job.state == present).values(**values)) == 1

    def _retry(self, condition: Any, *, notified_at: datetime | None) -> int:
        return self._update(
            update(Job)
            .where(condition, Job.state.in_(ENDED_BADLY))
            .values(
                state=JobState.WAITING,
                run_after=self.clock(),
                notified_at=notified_at,
                lease_until=None,
                finished_at=None,
                cancel_requested_at=None,
                max_attempts=Job.attempts + _tries(),
            )
        )

    def _update(self, statement: Update) -> int:
        return rowcount(self.session, statement.execution_options(synchronize_session=False))


def _tries() -> ColumnElement[int]:
    """Return the number of attempts of a job's kind."""
    others = {kind: task.max_attempts for kind, task in Task.kinds.items() if task.max_attempts != Task.max_attempts}
    return case(others, value=Job.kind, else_=Task.max_attempts)


def _narrowed(query: Select[Any], filters: JobFilter) -> Select[Any]:
    if filters.kind is not None:
        query = query.where(Job.kind == filters.kind)
    if not filters.situations:
        return query
    states = {JobState.WAITING if situation == RETRYING else JobState(situation) for situation in filters.situations}
    query = query.where(Job.state.in_(states))
    if RETRYING in filters.situations and JobState.WAITING not in filters.situations:
        query = query.where((Job.state != JobState.WAITING) | (Job.attempts > 0))
    return query


def is_warning(kind: str) -> bool:
    """Return whether jobs of this kind warn users about their account."""
    return kind in Task.kinds and Task.kinds[kind].is_warning
