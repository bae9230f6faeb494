"""The database's migration compared with the one this code needs."""

import re
from functools import cache

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError, SQLAlchemyError

from app.core.extensions import db
from app.core.settings import ROOT

VERSIONS = ROOT / "migrations" / "versions"
_ASSIGNED = re.compile(r"^(revision|down_revision)(?::[^=]*)? = (?:[\"'](\w+)[\"']|None)$", re.MULTILINE)


@cache
def newest_revision() -> str:
    """Return the head of `migrations/` from the files: Alembic would take memory in every web process."""
    migrations = [dict(_ASSIGNED.findall(path.read_text())) for path in VERSIONS.glob("*.py")]
    heads = {match["revision"] for match in migrations} - {match.get("down_revision") for match in migrations}
    (head,) = heads
    return str(head)


@cache
def known_revisions() -> frozenset[str]:
    return frozenset(dict(_ASSIGNED.findall(path.read_text()))["revision"] for path in VERSIONS.glob("*.py"))


def current_revision() -> str | None:
    """Return the database's revision; None if never migrated. Raises OperationalError if it is unreachable."""
    try:
        with db.engine.connect() as connection:
            return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    except ProgrammingError:
        return None
    except OperationalError as problem:
        if "no such table" in str(problem.orig):
            return None
        raise


def schema_state() -> tuple[str, str]:
    """Return the states of database (`ok`, `unreachable`) and migrations (`ok`, `pending`, `newer`, `unknown`)."""
    try:
        current = current_revision()
    except SQLAlchemyError:
        return "unreachable", "unknown"
    if current == newest_revision():
        return "ok", "ok"
    return "ok", "pending" if current is None or current in known_revisions() else "newer"


def first_line(problem: SQLAlchemyError) -> str:
    """Return the driver's message without SQLAlchemy's additions."""
    cause = problem.orig if isinstance(problem, DBAPIError) else problem
    return str(cause).strip().partition("\n")[0].rstrip(".")


def include_object(_item: object, _name: str, kind: str, is_reflected: bool, compared_to: object) -> bool:
    """Return whether Alembic compares an object. Tables of deleted features have no model, and are ignored."""
    return not (kind == "table" and is_reflected and compared_to is None)
