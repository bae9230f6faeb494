"""`flask jobs`: workers, scheduler and job queue."""

from __future__ import annotations

import json
import logging
import signal
import threading
from typing import Any

import click
from flask import current_app
from flask.cli import AppGroup
from sqlalchemy.exc import OperationalError

from app.extensions import NO_CLUSTER, notifier, settings
from app.jobs.schedule import tick
from app.models import Job, JobState
from app.unit_of_work import reading, unit_of_work

log = logging.getLogger(__name__)

jobs = AppGroup("jobs", help="Run workers and the scheduler; list, retry and cancel jobs.")


@jobs.command()
@click.option("--processes", type=click.IntRange(1, 64), help="The number of workers. Default: WORKER_PROCESSES.")
@click.option("--burst", is_flag=True, help="Stop when no job is due.")
def worker(processes: int | None, burst: bool) -> None:
    """Run workers until TERM or Ctrl-C; the jobs they are running are finished first."""
    from redis.exceptions import RedisError  # noqa: PLC0415 - only this command needs the workers and their client.

    from app.jobs.pool import Pool  # noqa: PLC0415

    url = settings().queue_url
    if not url:
        raise click.ClickException("There is no queue: set REDIS_URL, or start one with `flask up`.")
    if notifier.state() == "cluster":
        raise click.ClickException(NO_CLUSTER)
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    pool = Pool(app, url=url, processes=processes or settings().worker_processes)
    try:
        pool.start(burst=burst, logging_level="WARNING")
    except RedisError as problem:
        raise click.ClickException(f"The queue cannot be used: {problem}. Check REDIS_URL.") from None


@jobs.command()
@click.option("--once", is_flag=True, help="Run one round and stop.")
def schedule(once: bool) -> None:
    """Enqueue scheduled jobs, and notify workers again of due jobs. Any number of these may run."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    while not stop.is_set():
        try:
            tick()
        except OperationalError:
            log.exception("the database is away; the next round tries again")
        if once:
            return
        stop.wait(settings().schedule_seconds)


@jobs.command(name="list")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([state.value for state in JobState]),
    help="Only jobs in this state.",
)
@click.option("--limit", default=50, type=click.IntRange(1, 1000))
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
def list_jobs(states: tuple[str, ...], limit: int, as_json: bool) -> None:
    """List jobs, newest first."""
    found = reading().job_queue.list(states=states, limit=limit)
    if as_json:
        click.echo(json.dumps([as_dict(job) for job in found], indent=2))
        return
    for job in found:
        click.echo(
            f"{job.id:>8}  {job.state:<9}  {job.kind:<28}  "
            f"{job.attempts}/{job.max_attempts}  {job.outcome or ''}".rstrip()
        )
    if not found:
        click.echo("No jobs.")


@jobs.command()
@click.argument("job_id", type=int)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def show(job_id: int, as_json: bool) -> None:
    """Show one job."""
    known = as_dict(reading().job_queue.get(job_id))
    if as_json:
        click.echo(json.dumps(known, indent=2))
        return
    for name, value in known.items():
        click.echo(f"{name:<14} {'' if value is None else value}".rstrip())


@jobs.command()
@click.argument("job_id", type=int)
def retry(job_id: int) -> None:
    """Retry a dead or cancelled job, with all its tries."""
    with unit_of_work() as work:
        work.job_queue.retry(job_id)
    click.echo(
        f"Job {job_id} waits for a worker."
        + ("" if notifier.state() == "ok" else " The queue is away; the schedule will notify a worker.")
    )


@jobs.command()
@click.argument("job_id", type=int)
def cancel(job_id: int) -> None:
    """Cancel a job that no worker has begun."""
    with unit_of_work() as work:
        work.job_queue.cancel(job_id)
    click.echo(f"Job {job_id} is cancelled.")


def as_dict(job: Job) -> dict[str, Any]:
    """A job as plain values; times are RFC 3339."""
    times = ("run_after", "lease_until", "created_at", "started_at", "finished_at")
    plain = (
        "id",
        "kind",
        "arguments",
        "queue",
        "state",
        "attempts",
        "max_attempts",
        "progress",
        "outcome",
        "owner_id",
        "request_id",
    )
    values = {name: getattr(job, name) for name in plain}
    return values | {name: at.isoformat() if (at := getattr(job, name)) else None for name in times}
