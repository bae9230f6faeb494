"""Endpoints for jobs and the schedule."""

from typing import Annotated, Any, Literal

from pydantic import Field

from app.api import bp
from app.api.endpoint import endpoint
from app.api.listing import list_page
from app.api.responses import Answer
from app.api.schemas import In, PageQuery
from app.core import errors
from app.core.resources import Kind, Out
from app.jobs.display import as_dict, as_entry
from app.jobs.models import JobState
from app.jobs.schemas import JobOut, JobsOut, ScheduleOut
from app.jobs.services.board import JobFilter
from app.unit_of_work import reading, unit_of_work
from app.users.permissions import JOBS_EDIT, JOBS_READ
from app.web.access import requires


class JobsQuery(PageQuery):
    state: (
        Annotated[
            Literal["waiting", "running", "retrying", "dead", "done", "cancelled"],
            Field(description="`retrying`: waiting after a failed attempt."),
        ]
        | None
    ) = None
    kind: Kind | None = None


class RetryIn(In):
    state: Annotated[Literal["dead", "cancelled"], Field(examples=["dead"])] | None = None
    kind: Kind | None = None


class RetriedOut(Out):
    retried: Annotated[int, Field(ge=0, examples=[3])]


@bp.get("/v1/jobs")
@endpoint(JobsOut, query=JobsQuery, tag="jobs", lists=True)
@requires(JOBS_READ)
def list_jobs(query: JobsQuery) -> dict[str, Any]:
    """List jobs, newest first."""
    of = {"list": "jobs", "state": query.state, "kind": query.kind}
    states, board = ((query.state,) if query.state else ()), reading().job_board
    return list_page(
        query,
        lambda before, limit: board.list(JobFilter(states, query.kind, before), limit=limit),
        lambda job: as_dict(job, board.pace(job)),
        of=of,
    )


@bp.get("/v1/jobs/<id:job_id>")
@endpoint(JobOut, refuses=(errors.JobNotFound,), tag="jobs")
@requires(JOBS_READ)
def show_job(job_id: int) -> dict[str, Any]:
    """Get a job and its progress."""
    return _one(job_id)


@bp.post("/v1/jobs/retry")
@endpoint(RetriedOut, body=RetryIn, tag="jobs")
@requires(JOBS_EDIT)
def retry_jobs(body: RetryIn) -> dict[str, Any]:
    """Retry matching dead and cancelled jobs, the oldest 10,000 at most."""
    with unit_of_work() as work:
        return {"retried": work.job_board.retry_all(JobFilter((body.state,) if body.state else (), body.kind))}


@bp.post("/v1/jobs/<id:job_id>/retry")
@endpoint(JobOut, refuses=(errors.JobNotFound, errors.JobNotRetryable), tag="jobs")
@requires(JOBS_EDIT)
def retry_job(job_id: int) -> dict[str, Any]:
    """Retry a dead or cancelled job."""
    with unit_of_work() as work:
        work.job_board.retry(job_id)
    return _one(job_id)


@bp.post("/v1/jobs/<id:job_id>/run")
@endpoint(JobOut, refuses=(errors.JobNotFound, errors.JobNotStartable), tag="jobs")
@requires(JOBS_EDIT)
def run_job(job_id: int) -> dict[str, Any]:
    """Run a waiting job now."""
    with unit_of_work() as work:
        work.job_board.run_now(job_id)
    return _one(job_id)


@bp.post("/v1/jobs/<id:job_id>/cancel")
@endpoint(JobOut, refuses=(errors.JobNotFound, errors.JobNotCancellable), tag="jobs")
@requires(JOBS_EDIT)
def cancel_job(job_id: int) -> Answer:
    """Cancel a job. A running job stops after the current step."""
    with unit_of_work() as work:
        state = work.job_board.cancel(job_id)
    message = "Job cancelled." if state == JobState.CANCELLED else "The job stops after the current step."
    return Answer(_one(job_id), message=message)


@bp.get("/v1/schedule")
@endpoint(ScheduleOut, tag="jobs")
@requires(JOBS_READ)
def show_schedule() -> dict[str, Any]:
    """List schedule entries with their last and next run."""
    return {"items": [as_entry(entry) for entry in reading().schedule.list()]}


@bp.post("/v1/schedule/<name>/pause")
@endpoint(None, refuses=(errors.ScheduleNotFound, errors.CannotBePaused), tag="jobs")
@requires(JOBS_EDIT)
def pause_entry(name: str) -> Answer:
    """Pause a schedule entry."""
    with unit_of_work() as work:
        work.schedule.pause(name)
    return Answer(message="Schedule entry paused.")


@bp.post("/v1/schedule/<name>/resume")
@endpoint(None, refuses=(errors.ScheduleNotFound,), tag="jobs")
@requires(JOBS_EDIT)
def resume_entry(name: str) -> Answer:
    """Resume a schedule entry."""
    with unit_of_work() as work:
        work.schedule.resume(name)
    return Answer(message="Schedule entry resumed.")


@bp.post("/v1/schedule/<name>/run")
@endpoint(JobOut, refuses=(errors.ScheduleNotFound,), tag="jobs")
@requires(JOBS_EDIT)
def run_entry(name: str) -> dict[str, Any]:
    """Run a schedule entry now."""
    with unit_of_work() as work:
        job_id = work.schedule.run_now(name)
    return _one(job_id)


def _one(job_id: int) -> dict[str, Any]:
    board = reading().job_board
    job = board.get(job_id)
    return as_dict(job, board.pace(job))
