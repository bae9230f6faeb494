"""Jobs a second of one worker, each told by the times that its own records hold."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from redis import Redis
from rq import Queue
from rq.job import Job

from bench.figure import Effort, Figure, interleaved
from bench.nothing import nothing
from bench.workspace import Workspace

QUEUE = "bench-baseline"

ENQUEUE = """
from app.jobs.tasks import NoOperation
from app.unit_of_work import unit_of_work
from wsgi import app
with app.app_context(), unit_of_work() as work:
    for _ in range({count}):
        work.enqueue(NoOperation())
"""


def worker(workspace: Workspace, effort: Effort) -> Iterator[Figure]:
    """RQ's default worker, which forks for each job, on an empty function; ours on a task that does nothing."""
    figures = interleaved(
        effort.rounds, lambda: bare_rq(workspace, effort.jobs), lambda: jobs_done(workspace, 3 * effort.jobs)
    )
    yield Figure("no-op jobs of one worker", "jobs/s", *figures, target=2.5)


def workers(workspace: Workspace, effort: Effort) -> Iterator[Figure]:
    """RQ's pool of two workers that run an empty function in their own process, and two of ours."""
    pool = ["worker-pool", "--num-workers", "2", "--worker-class", "rq.worker.SimpleWorker"]
    figures = interleaved(
        effort.rounds,
        lambda: bare_rq(workspace, 5 * effort.jobs, pool),
        lambda: jobs_done(workspace, 5 * effort.jobs, workers=2),
    )
    yield Figure("no-op jobs of two workers", "jobs/s", *figures, target=1)


def bare_rq(workspace: Workspace, count: int, kind: Sequence[str] = ("worker",)) -> float:
    with Redis.from_url(workspace.queue_url) as connection:
        jobs = [Queue(QUEUE, connection=connection).enqueue(nothing) for _ in range(count)]
        workspace.run(
            [sys.executable, "-m", "rq.cli", *kind, "--burst", "--quiet", "--url", workspace.queue_url, QUEUE]
        )
        ended_at = [job.ended_at for job in Job.fetch_many([job.id for job in jobs], connection=connection) if job]
    return pace(at for at in ended_at if at is not None)


def jobs_done(workspace: Workspace, count: int, *, workers: int = 1) -> float:
    """From the first acknowledgement in the job queue to the last; each is a commit, as each claim is."""
    workspace.run([sys.executable, "-c", ENQUEUE.format(count=count)])
    workspace.run([sys.executable, "-m", "flask", "jobs", "worker", "--processes", str(workers), "--burst"])
    with sqlite3.connect(workspace.database) as database:
        rows = database.execute("SELECT finished_at FROM jobs WHERE state = 'done' ORDER BY id DESC LIMIT ?", [count])
        ended_at = [datetime.fromisoformat(at) for (at,) in rows]
    database.close()
    assert len(ended_at) == count, f"only {len(ended_at)} of {count} jobs were done"
    return pace(ended_at)


def pace(ended_at: Iterable[datetime]) -> float:
    times = sorted(ended_at)
    return (len(times) - 1) / (times[-1] - times[0]).total_seconds()
