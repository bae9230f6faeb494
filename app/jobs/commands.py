"""`flask jobs` and `flask schedule`: workers, jobs and the schedule."""

import os
import sys
from importlib import import_module

import click
from flask import current_app
from flask.cli import AppGroup

from app.core.extensions import settings
from app.jobs.display import as_dict, as_entry, duration, progress_text, situation
from app.jobs.models import Job, JobState
from app.jobs.notifier import NO_CLUSTER, notifier, queue_client
from app.jobs.schedule import run_schedule, tick
from app.jobs.services.board import ENDED_BADLY, SITUATIONS, JobFilter
from app.jobs.services.schedule import Planned
from app.unit_of_work import reading, unit_of_work
from app.web.command_output import json_option, print_list, print_values
from app.web.progress_bar import follow_job

jobs = AppGroup("jobs", help="Run workers, and manage jobs.")
schedule_group = AppGroup("schedule", help="Manage the schedule.")

WAITS = "enqueued."
kind_option = click.option("--kind", help="Only jobs of this kind, like send_invitation.")


@jobs.command()
@click.option("--processes", type=click.IntRange(1, 64), help="The number of workers. Default: WORKER_PROCESSES.")
@click.option("--schedule/--no-schedule", default=True, help="Also run the schedule (default).")
@click.option("--burst", is_flag=True, help="Stop when no job is due. Doesn't run the schedule.")
def worker(processes: int | None, schedule: bool, burst: bool) -> None:
    """Run workers and the schedule.

    Stops on TERM or Ctrl-C, after the running jobs have finished. HUP restarts it with new code.
    """
    from app.jobs.rq_workers import Pool  # noqa: PLC0415 - only this command needs the workers and their client.

    url = settings().queue_url
    if not url:
        raise click.ClickException("No queue found. Set REDIS_URL, or start one with `make run`.")
    _refuse_cluster(url)
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    count = processes or settings().worker_processes
    if Pool(app, url=url, processes=count, schedule=schedule, burst=burst).run():
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - the same command again


def _refuse_cluster(url: str) -> None:
    """Refuse a Redis cluster, using a client that is closed before workers are forked."""
    client = import_module("app.core.redis_client").connect(url)
    try:
        if queue_client().queue_state(client) == "cluster":
            raise click.ClickException(NO_CLUSTER)
    finally:
        client.close()


@jobs.command()
@click.option("--once", is_flag=True, help="Run the schedule once and stop.")
def schedule(once: bool) -> None:
    """Run the schedule without workers.

    For workers started with `flask jobs worker --no-schedule`. Any number of these can run.
    """
    if once:
        tick()
    else:
        run_schedule(current_app._get_current_object())  # type: ignore[attr-defined]


@jobs.command(name="list")
@click.option("--state", "states", multiple=True, type=click.Choice(SITUATIONS), help="Only jobs in this state.")
@kind_option
@click.option("--limit", default=50, type=click.IntRange(1, 1000))
@json_option
def list_jobs(states: tuple[str, ...], kind: str | None, limit: int, as_json: bool) -> None:
    """List jobs, newest first."""
    board = reading().job_board
    listed = board.list(JobFilter(states, kind), limit=limit)

    def line(job: Job) -> str:
        text = progress_text(job, board.pace(job)) if job.state == JobState.RUNNING else job.outcome
        tries = f"{job.attempts}/{job.max_attempts}"
        return f"{job.id:>8}  {situation(job):<9}  {job.kind:<28}  {tries}  {text or ''}"

    print_list(listed, lambda job: as_dict(job, board.pace(job)), line, as_json=as_json, empty="No jobs.")


@jobs.command()
@click.argument("job_id", type=int)
@click.option("--follow", is_flag=True, help="Show the progress until the job ends.")
@json_option
def show(job_id: int, follow: bool, as_json: bool) -> None:
    """Show one job."""
    if follow:
        follow_job(job_id, label=f"Job {job_id}")
    board = reading().job_board
    job = board.get(job_id)
    values = as_dict(job, board.pace(job))
    if not as_json:
        values["progress"] = progress_text(job, board.pace(job))
    print_values(values, as_json=as_json, width=19)


@jobs.command()
@click.argument("job_id", type=int, required=False)
@click.option("--all", "is_for_all", is_flag=True, help="All matching dead and cancelled jobs.")
@click.option(
    "--state", "states", multiple=True, type=click.Choice(ENDED_BADLY), help="With --all: only jobs in this state."
)
@kind_option
def retry(job_id: int | None, is_for_all: bool, states: tuple[str, ...], kind: str | None) -> None:
    """Retry dead and cancelled jobs."""
    if is_for_all == (job_id is not None) or (job_id is not None and (states or kind)):
        raise click.UsageError("Enter a job ID, or use --all (with --state and --kind to filter).")
    with unit_of_work() as work:
        if job_id is None:
            retried = work.job_board.retry_all(JobFilter(states, kind))
        else:
            work.job_board.retry(job_id)
    click.echo(f"Jobs enqueued again: {retried}." if job_id is None else f"Job {job_id} {WAITS}" + _queue_note())


@jobs.command()
@click.argument("job_id", type=int)
def run(job_id: int) -> None:
    """Run a waiting job now."""
    with unit_of_work() as work:
        work.job_board.run_now(job_id)
    click.echo(f"Job {job_id} {WAITS}" + _queue_note())


@jobs.command()
@click.argument("job_id", type=int)
def cancel(job_id: int) -> None:
    """Cancel a job.

    A running job stops after the current step.
    """
    with unit_of_work() as work:
        state = work.job_board.cancel(job_id)
    end = "cancelled" if state == JobState.CANCELLED else "stops after the current step"
    click.echo(f"Job {job_id} {end}.")


def _queue_note() -> str:
    return "" if notifier.state() == "ok" else " Can't reach the queue. The schedule will notify a worker."


# ── the schedule ──


@schedule_group.command(name="list")
@json_option
def list_entries(as_json: bool) -> None:
    """List schedule entries with their last and next run."""
    print_list(reading().schedule.list(), as_entry, _line, as_json=as_json)


def _line(planned: Planned) -> str:
    following = f"next {planned.next_at:%Y-%m-%d %H:%M} UTC" if planned.next_at else "paused"
    last = f"last {planned.last.state} {planned.last.created_at:%Y-%m-%d %H:%M} UTC" if planned.last else "never ran"
    return f"{planned.entry.name:<22} every {duration(planned.entry.every):<10}  {following:<26}  {last}"


@schedule_group.command()
@click.argument("name")
def pause(name: str) -> None:
    """Pause a schedule entry."""
    with unit_of_work() as work:
        work.schedule.pause(name)
    click.echo(f"{name} paused.")


@schedule_group.command()
@click.argument("name")
def resume(name: str) -> None:
    """Resume a schedule entry."""
    with unit_of_work() as work:
        work.schedule.resume(name)
    click.echo(f"{name} resumed.")


@schedule_group.command(name="run")
@click.argument("name")
def run_entry(name: str) -> None:
    """Run a schedule entry now."""
    with unit_of_work() as work:
        job_id = work.schedule.run_now(name)
    click.echo(f"Job {job_id} {WAITS}" + _queue_note())
