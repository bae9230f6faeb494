"""Imports and exports of users, for the entry points that offer them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from app.models import Job, JobState, Phase, UserImport
from app.services.user_search import ListedUser
from app.unit_of_work import Work
from app.web.exports import csv_lines
from app.web.jobs import progress_of

COLUMNS = ("email", "name", "roles", "status", "created_at", "last_seen_at")
REPORT = ("row", "email", "name", "roles", "outcome", "reason")
CHUNK = 1000


def exported(user: ListedUser) -> tuple[Any, ...]:
    """A user as a row of COLUMNS."""
    times = (at.isoformat() if at else None for at in (user.created_at, user.last_seen_at))
    return user.email, user.name, " ".join(user.roles), user.status, *times


def report_lines(look: Work, import_id: int) -> Iterator[str]:
    """What became of each row, or would, as CSV."""
    return csv_lines(REPORT, _rows(look, import_id))


def _rows(look: Work, import_id: int) -> Iterator[tuple[Any, ...]]:
    after = 0
    while rows := look.user_imports.list_rows(import_id, after=after, limit=CHUNK):
        after = rows[-1].number
        yield from ((row.number, row.email, row.name, " ".join(row.roles), row.outcome, row.reason) for row in rows)
        look.session.expunge_all()


def as_dict(look: Work, found: UserImport) -> dict[str, Any]:
    """An import as plain values; `state` is its phase, or `stopped` while its job does not go on."""
    job = look.session.get(Job, found.job_id) if found.job_id else None
    is_stopped = found.phase in {Phase.CHECKING, Phase.APPLYING} and (
        job is None or job.state not in {JobState.WAITING, JobState.RUNNING}
    )
    names = ("id", "file_name", "problem", "rows", "checked", "applied", "ignored", "invites", "created_at", "ended_at")
    return {name: getattr(found, name) for name in names} | {
        "state": "stopped" if is_stopped else found.phase,
        "job_id": found.job_id,
        "progress": progress_of(job, look.job_board.pace(job)) if job else None,
        "examples": [
            {"row": row.number, "email": row.email, "outcome": row.outcome, "reason": row.reason}
            for row in look.user_imports.list_examples(found)
        ],
    }
