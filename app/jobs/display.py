"""Jobs as plain values, and their progress in words."""

from datetime import timedelta
from typing import Any

from app.core.resources import plain
from app.jobs.models import Job, JobState
from app.jobs.schemas import JobOut
from app.jobs.services.board import RETRYING, Pace
from app.jobs.services.schedule import Planned
from app.jobs.tasks import Task


def as_dict(job: Job, pace: Pace) -> dict[str, Any]:
    """Return a job as plain values."""
    return plain(JobOut, job, progress=progress_of(job, pace))


def progress_of(job: Job, pace: Pace) -> dict[str, Any]:
    return {
        "done": job.progress_done,
        "total": job.progress_total,
        "percent": 100 if job.state == JobState.DONE else pace.percent,
        "per_second": round(pace.per_second, 1) if pace.per_second is not None else None,
        "seconds_left": round(pace.left.total_seconds()) if pace.left is not None else None,
    }


def situation(job: Job) -> str:
    """Return its state, or `retrying` for a waiting job that failed before."""
    return RETRYING if job.is_retrying else job.state


def progress_text(job: Job, pace: Pace) -> str:
    """Return `40,000 of 100,000, 1,200 a second, 50 seconds left`, as far as known."""
    if not job.progress_done and not job.progress_total:
        return ""
    parts = [f"{job.progress_done:,}" + (f" of {job.progress_total:,}" if job.progress_total else "")]
    if pace.per_second is not None:
        parts.append(f"{pace.per_second:,.0f} a second" if pace.per_second >= 1 else f"{pace.per_second:.2f} a second")
    if pace.left is not None:
        parts.append(f"{duration(pace.left)} left")
    return ", ".join(parts)


def duration(length: timedelta) -> str:
    """Return `50 seconds`, `3 minutes` or `1 hour`, rounded up."""
    seconds = max(1, round(length.total_seconds()))
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= 2 * size or seconds == size:
            count = -(-seconds // size)
            return f"{count} {unit}{'s' if count != 1 else ''}"
    return f"{seconds} second{'s' if seconds != 1 else ''}"


def as_entry(planned: Planned) -> dict[str, Any]:
    """Return a schedule entry as plain values."""
    last = planned.last
    return {
        "name": planned.entry.name,
        "kind": planned.entry.task.kind,
        "every_seconds": int(planned.entry.every.total_seconds()),
        "next_at": planned.next_at,
        "paused_at": planned.paused_at,
        "last": last
        and {"id": last.id, "state": last.state, "outcome": last.outcome, "at": last.finished_at or last.created_at},
    }


def outcome_text(job: Job) -> str:
    """Return the outcome of a job with a capital letter, or an empty text."""
    return job.outcome[:1].upper() + job.outcome[1:] if job.outcome else ""


def title_of(kind: str) -> str:
    """Return the title of a task, also of one that this version does not know."""
    return Task.kinds[kind].title if kind in Task.kinds else kind.replace("_", " ").capitalize()
