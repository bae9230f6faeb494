"""Pages for jobs, the schedule and workers."""

from types import SimpleNamespace
from typing import Any

from flask import request
from flask.typing import ResponseReturnValue

from app.admin import bp
from app.core.extensions import now, settings
from app.jobs.display import duration, outcome_text, progress_text, situation, title_of
from app.jobs.models import Job, JobState
from app.jobs.notifier import notifier
from app.jobs.services.board import ENDED_BADLY, MAX_RETRIED, SITUATIONS, JobBoard, JobFilter, is_warning
from app.jobs.services.schedule import Planned
from app.jobs.tasks import Task
from app.statistics.service import HourRow, Statistics
from app.unit_of_work import reading, unit_of_work
from app.users.permissions import JOBS_EDIT, JOBS_READ
from app.web import current_user
from app.web.access import requires
from app.web.actions import attempt
from app.web.charts import chart
from app.web.pages import page
from app.web.query_params import before, paginate, query_text
from app.web.redirects import done

ON_A_PAGE = 25
WAITS = "Job enqueued."
MAX_WORKERS = 200
COUNTED = 10_000
COUNTS = {"Waiting": JobState.WAITING, "Running": JobState.RUNNING, "Dead": JobState.DEAD}


@bp.get("/jobs")
@requires(JOBS_READ)
@current_user.refreshes_itself
def jobs() -> ResponseReturnValue:
    services, filters = reading(), _parse_filters(query_text("state"), query_text("task"))
    state = filters.situations[0] if filters.situations else ""
    listed = services.job_board.list(filters, limit=ON_A_PAGE + 1)
    paged = paginate(listed, size=ON_A_PAGE, state=state or None, task=filters.kind)
    return _tab(
        "admin/jobs.html",
        state=state,
        task=filters.kind or "",
        states={"": "Any state"} | {situation: situation.capitalize() for situation in SITUATIONS},
        tasks={"": "Any task"} | {kind: title_of(kind) for kind in sorted(Task.kinds, key=title_of)},
        jobs=[_shown(job, services.job_board) for job in paged.rows],
        can_retry_all=state in ENDED_BADLY and bool(listed),
        paged=paged,
    )


@bp.get("/jobs/schedule")
@requires(JOBS_READ)
def schedule() -> ResponseReturnValue:
    return _tab("admin/schedule.html", entries=[_entry(entry) for entry in reading().schedule.list()])


@bp.get("/jobs/workers")
@requires(JOBS_READ)
def workers() -> ResponseReturnValue:
    return _tab("admin/workers.html", hours=_hours(reading()[Statistics].hours()))


def _tab(template: str, **values: Any) -> ResponseReturnValue:
    """Show a page for jobs, below the state of the queue."""
    board = reading().job_board
    alive = _workers(board)
    counts = [
        SimpleNamespace(text=text, state=state, value=min(count, COUNTED), is_more=count > COUNTED)
        for (text, state), count in zip(COUNTS.items(), board.count(*COUNTS.values(), at_most=COUNTED + 1), strict=True)
    ]
    counts.append(SimpleNamespace(text="Workers", state=None, value=len(alive.alive), is_more=False))
    return page(template, workers=alive, counts=counts, **values)


@bp.get("/jobs/<id:job_id>")
@requires(JOBS_READ)
@current_user.refreshes_itself
def job(job_id: int) -> ResponseReturnValue:
    services = reading()
    job_row = services.job_board.get(job_id)
    return page("admin/job.html", job=_shown(job_row, services.job_board), row=job_row, is_open=_is_open(job_row))


@bp.post("/jobs/retry")
@requires(JOBS_EDIT)
def retry_jobs() -> ResponseReturnValue:
    filters = _parse_filters(request.form.get("state", ""), request.form.get("task", ""))
    with unit_of_work() as work:
        retried = work.job_board.retry_all(filters)
    message = "No jobs to retry." if not retried else f"Jobs enqueued again: {retried:,}."
    if retried == MAX_RETRIED:
        message += " There may be more."
    return done(message, to="admin.jobs", kind="success" if retried else "info", task=filters.kind)


@bp.post("/jobs/<id:job_id>/retry")
@requires(JOBS_EDIT)
def retry_job(job_id: int) -> ResponseReturnValue:
    return attempt(lambda work: work.job_board.retry(job_id), message=WAITS, to="admin.job", job_id=job_id)


@bp.post("/jobs/<id:job_id>/run")
@requires(JOBS_EDIT)
def run_job(job_id: int) -> ResponseReturnValue:
    return attempt(lambda work: work.job_board.run_now(job_id), message=WAITS, to="admin.job", job_id=job_id)


@bp.post("/jobs/<id:job_id>/cancel")
@requires(JOBS_EDIT)
def cancel_job(job_id: int) -> ResponseReturnValue:
    message = "Job cancelled. If it is running, it stops after the current step."
    return attempt(lambda work: work.job_board.cancel(job_id), message=message, to="admin.job", job_id=job_id)


@bp.post("/jobs/schedule/<name>/pause")
@requires(JOBS_EDIT)
def pause_entry(name: str) -> ResponseReturnValue:
    return attempt(lambda work: work.schedule.pause(name), message=f"{name} paused.", to="admin.schedule")


@bp.post("/jobs/schedule/<name>/resume")
@requires(JOBS_EDIT)
def resume_entry(name: str) -> ResponseReturnValue:
    return attempt(lambda work: work.schedule.resume(name), message=f"{name} resumed.", to="admin.schedule")


@bp.post("/jobs/schedule/<name>/run")
@requires(JOBS_EDIT)
def run_entry(name: str) -> ResponseReturnValue:
    with unit_of_work() as work:
        job_id = work.schedule.run_now(name)
    return done(WAITS, to="admin.job", job_id=job_id)


def _parse_filters(state: str, kind: str) -> JobFilter:
    """Parse the filters; ignore invalid ones."""
    return JobFilter((state,) if state in SITUATIONS else (), kind if kind in Task.kinds else None, before())


def _is_open(job: Job) -> bool:
    return job.state in {JobState.WAITING, JobState.RUNNING}


def _shown(job: Job, board: JobBoard) -> SimpleNamespace:
    pace = board.pace(job)
    return SimpleNamespace(
        id=job.id,
        name=title_of(job.kind),
        situation=situation(job),
        is_stopping=job.cancel_requested_at is not None and _is_open(job),
        percent=pace.percent,
        progress=progress_text(job, pace),
        outcome=outcome_text(job),
        worker=job.worker,
        claimed_at=job.claimed_at,
        run_after=job.run_after if job.run_after > now() else None,
        created_at=job.created_at,
        finished_at=job.finished_at,
        can_retry=job.state in ENDED_BADLY,
        can_run=job.state == JobState.WAITING and job.run_after > now(),
        can_cancel=_is_open(job) and job.cancel_requested_at is None and not is_warning(job.kind),
    )


def _entry(planned: Planned) -> SimpleNamespace:
    last = planned.last
    return SimpleNamespace(
        name=planned.entry.name,
        text=planned.entry.task.title,
        every=duration(planned.entry.every).removeprefix("1 "),
        next_at=planned.next_at,
        is_due=planned.next_at is not None and planned.next_at <= now(),
        paused_at=planned.paused_at,
        can_pause=planned.entry.can_pause,
        last=last and SimpleNamespace(id=last.id, situation=situation(last), at=last.finished_at or last.created_at),
        outcome=last and outcome_text(last),
    )


def _hours(rows: list[HourRow]) -> SimpleNamespace:
    labels = [f"{row.begin.astimezone(settings().zone):%H:%M}" for row in rows]
    return SimpleNamespace(
        drawn=chart(
            "Finished jobs by hour", labels, [row.done + row.dead for row in rows], bad=[row.dead for row in rows]
        ),
        rows=list(zip(labels, rows, strict=True)),
        done=sum(row.done for row in rows),
        dead=sum(row.dead for row in rows),
    )


def _workers(board: JobBoard) -> SimpleNamespace:
    workers = notifier.find_workers()
    if workers is None:
        return SimpleNamespace(is_away=True, alive=[], last_run_at=None)
    running = {job.worker: job for job in board.list(JobFilter((JobState.RUNNING,)), limit=MAX_WORKERS)}
    alive = [
        SimpleNamespace(queues=seen.queues, name=seen.name, since=seen.since, job=running.get(seen.name))
        for seen in workers.list_alive(now(), busy=board.busy_workers())
    ]
    return SimpleNamespace(is_away=False, alive=alive, last_run_at=workers.last_run_at)
