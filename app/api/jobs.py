"""Endpoints for jobs and the schedule."""

from typing import Annotated, Any, Literal

from pydantic import Field

from app import errors
from app.api import bp
from app.api.endpoint import endpoint
from app.api.responses import Answer
from app.api.schemas import Id, In, Next, Out, PageQuery, Time
from app.models import JobState
from app.services.job_board import JobFilter
from app.services.permissions import JOBS_EDIT, JOBS_READ
from app.services.user_search import Position
from app.unit_of_work import reading, unit_of_work
from app.web.access import requires
from app.web.cursors import read_cursor, write_cursor
from app.web.jobs import as_dict, as_entry

Kind = Annotated[str, Field(max_length=64, pattern="^[a-z][a-z0-9_]*$", examples=["send_invitation"])]
Count = Annotated[int, Field(ge=0, examples=[40000])]


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


class ProgressOut(Out):
    done: Count
    total: Count | None = Field(description="Null if unknown.", examples=[100000])
    percent: Annotated[int, Field(ge=0, le=100)] | None = Field(examples=[40])
    per_second: float | None = Field(examples=[1200.5])
    seconds_left: Count | None = Field(examples=[50])


class JobOut(Out):
    id: Id
    kind: Kind
    arguments: Annotated[dict[str, Any], Field(description="IDs only.", examples=[{"user_id": 1}])]
    queue: Literal["urgent", "default", "bulk"]
    state: Literal["waiting", "running", "done", "dead", "cancelled"]
    is_retrying: Annotated[bool, Field(description="Waiting after a failed attempt.", examples=[False])]
    progress: ProgressOut
    attempts: Annotated[int, Field(ge=0, examples=[1])]
    max_attempts: Annotated[int, Field(ge=1, examples=[8])]
    outcome: str | None = Field(
        description="The result, or why the last attempt failed.", examples=["rows deleted: 12"]
    )
    traceback: str | None = Field(description="The traceback of the last attempt, without values.", examples=[None])
    worker: str | None = Field(description="Host and process of the last attempt.", examples=["web1:4711"])
    owner_id: int | None = Field(description="The user who caused the job.", examples=[1])
    request_id: str | None = Field(examples=["c74ad20530d07a0b4e1021ede0504bec"])
    run_after: Time
    lease_until: Time | None
    created_at: Time
    started_at: Time | None
    claimed_at: Time | None
    cancel_requested_at: Time | None
    finished_at: Time | None


class JobsOut(Out):
    items: list[JobOut]
    next: Next


class LastRunOut(Out):
    id: Id
    state: Literal["waiting", "running", "done", "dead", "cancelled"]
    outcome: str | None = Field(examples=["rows deleted: 12"])
    at: Time


class EntryOut(Out):
    name: Annotated[str, Field(examples=["purge-expired"])]
    kind: Kind
    every_seconds: Annotated[int, Field(ge=1, examples=[21600])]
    next_at: Time | None = Field(description="Null while paused.")
    paused_at: Time | None
    last: LastRunOut | None


class ScheduleOut(Out):
    items: list[EntryOut]


@bp.get("/v1/jobs")
@endpoint(JobsOut, query=JobsQuery, tag="jobs", lists=True)
@requires(JOBS_READ)
def list_jobs(query: JobsQuery) -> dict[str, Any]:
    """List jobs, newest first."""
    of = {"list": "jobs", "state": query.state, "kind": query.kind}
    after = read_cursor(query.cursor, of=of)
    filters = JobFilter((query.state,) if query.state else (), query.kind, after.id if after else None)
    board = reading().job_board
    jobs = board.list(filters, limit=query.limit + 1)
    page = jobs[: query.limit]
    following = Position(None, page[-1].id) if len(jobs) > query.limit else None
    return {"items": [as_dict(job, board.pace(job)) for job in page], "next": write_cursor(following, of=of)}


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
