"""Shared parts of user imports and exports."""

from collections.abc import Iterator
from datetime import UTC, tzinfo
from typing import Any

from app.core.resources import plain
from app.imports.models import Phase, UserImport
from app.imports.schemas import ExampleOut, ImportOut
from app.imports.services.user_imports import UserImports
from app.jobs.display import progress_of
from app.jobs.models import Job, JobState
from app.unit_of_work import Work
from app.users.models import MORE_USER_FIELDS
from app.users.services.search import ListedUser
from app.web.exports import csv_lines

COLUMNS = ("email", "name", "roles", "status", "created_at", "last_seen_at", *MORE_USER_FIELDS)
REPORT = ("row", "email", "name", "roles", "outcome", "reason")
CHUNK = 1000


def exported(user: ListedUser, zone: tzinfo = UTC) -> tuple[Any, ...]:
    """Return a user as a row of COLUMNS; times are RFC 3339 with the offset of `zone`."""
    times = (at.astimezone(zone).isoformat() if at else None for at in (user.created_at, user.last_seen_at))
    return user.email, user.name, " ".join(user.roles), user.status, *times, *user.more.values()


def report_lines(services: Work, import_id: int) -> Iterator[str]:
    """Yield the result of each row as CSV."""
    return csv_lines(REPORT, _rows(services, import_id))


def _rows(services: Work, import_id: int) -> Iterator[tuple[Any, ...]]:
    after = 0
    while rows := services[UserImports].list_rows(import_id, after=after, limit=CHUNK):
        after = rows[-1].number
        yield from ((row.number, row.email, row.name, " ".join(row.roles), row.outcome, row.reason) for row in rows)
        services.session.expunge_all()


def as_dict(services: Work, user_import: UserImport) -> dict[str, Any]:
    """Return an import as plain values; `state` is its phase, or `stopped` if its job ended early."""
    job = services.session.get(Job, user_import.job_id) if user_import.job_id else None
    is_stopped = user_import.phase in {Phase.CHECKING, Phase.APPLYING} and (
        job is None or job.state not in {JobState.WAITING, JobState.RUNNING}
    )
    return plain(
        ImportOut,
        user_import,
        state="stopped" if is_stopped else user_import.phase,
        progress=progress_of(job, services.job_board.pace(job)) if job else None,
        examples=[plain(ExampleOut, row, row=row.number) for row in services[UserImports].list_examples(user_import)],
    )
