"""Statements that differ between the databases."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib import import_module
from typing import Any, cast

from sqlalchemy import CursorResult, Delete, Table, Update, func, insert, select
from sqlalchemy.orm import Session as DbSession

from app.models import Base


def insert_once(session: DbSession, model: type[Any] | Table) -> Any:
    """An INSERT with ON CONFLICT in this database's dialect."""
    # Only the dialect in use is imported: the other would take a tenth of the start-up.
    return import_module(f"sqlalchemy.dialects.{session.get_bind().dialect.name}").insert(model)


def serialise(session: DbSession, key: str) -> None:
    """Serialise transactions under `key` with an advisory lock; SQLite has only one writer."""
    if session.get_bind().dialect.name == "postgresql":
        number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big", signed=True)
        session.execute(select(func.pg_advisory_xact_lock(number)))


def affected(session: DbSession, statement: Update | Delete) -> int:
    """Run a conditional change and return the number of changed rows, which decides a race."""
    return cast("CursorResult[Any]", session.execute(statement)).rowcount


def insert_rows(session: DbSession, model: type[Base], rows: Sequence[dict[str, Any]]) -> None:
    """Many rows at once, past the ORM, which takes as long as the database for each."""
    if rows:
        session.execute(insert(cast(Table, model.__table__)), rows)
