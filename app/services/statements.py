"""Statements that the services lean on, whatever the database."""

from __future__ import annotations

import hashlib
from importlib import import_module
from typing import Any, cast

from sqlalchemy import CursorResult, Delete, Update, func, select
from sqlalchemy.orm import Session as DbSession


def insert_once(session: DbSession, model: type[Any]) -> Any:
    """An INSERT that can name what happens on a conflict, in the words of this database."""
    # Only the dialect that runs is loaded: the other costs a tenth of the start.
    return import_module(f"sqlalchemy.dialects.{session.get_bind().dialect.name}").insert(model)


def take_turns(session: DbSession, key: str) -> None:
    """Let one transaction at a time go on under `key`, until it ends; on SQLite there is only one that writes."""
    if session.get_bind().dialect.name == "postgresql":
        number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big", signed=True)
        session.execute(select(func.pg_advisory_xact_lock(number)))


def affected(session: DbSession, statement: Update | Delete) -> int:
    """Run a conditional change; how many rows met its condition is how a race is judged."""
    return cast("CursorResult[Any]", session.execute(statement)).rowcount
