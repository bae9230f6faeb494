"""Two kinds of statement that the services lean on, whatever the database."""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import CursorResult, Delete, Update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session as DbSession


def insert_once(session: DbSession, model: type[Any]) -> Any:
    """An INSERT that can name what happens on a conflict, in the words of this database."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    return dialect.insert(model)


def affected(session: DbSession, statement: Update | Delete) -> int:
    """Run a conditional change; how many rows met its condition is how a race is judged."""
    return cast("CursorResult[Any]", session.execute(statement)).rowcount
