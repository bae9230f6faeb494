"""Statements that differ between the databases."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib import import_module
from typing import Any, cast

from sqlalchemy import ColumnElement, Connection, CursorResult, Delete, Table, Update, func, insert, select, text
from sqlalchemy.orm import Session as DbSession
from sqlalchemy.sql.schema import ScalarElementColumnDefault

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


def has_room(session: DbSession, *rows: ColumnElement[bool], at_most: int, lock: str) -> bool:
    """Whether fewer than `at_most` rows match: every limit on a number of rows is judged here.

    `lock` says which rows of whom, like `api_keys:42`. Other transactions with the same one wait until this one ends,
    so each counts what the one before it has added.
    """
    serialise(session, lock)
    found: int = session.scalars(select(func.count()).where(*rows)).one()
    return found < at_most


def affected(session: DbSession, statement: Update | Delete) -> int:
    """Run a conditional change and return the number of changed rows, which decides a race."""
    return cast("CursorResult[Any]", session.execute(statement)).rowcount


def insert_rows(session: DbSession, into: type[Base] | Table, rows: Sequence[dict[str, Any]]) -> None:
    """Many rows at once, past the ORM, which takes as long as the database for each; on PostgreSQL by COPY."""
    table = into if isinstance(into, Table) else cast(Table, into.__table__)
    if not rows:
        return
    if session.get_bind().dialect.name == "postgresql":
        _copy(session.connection(), table, rows)
    else:
        session.execute(insert(table), rows)


def next_ids(session: DbSession, model: type[Base], count: int) -> list[int]:
    """So many new ids of a table, for rows that `insert_rows` inserts in this transaction."""
    name = cast(Table, model.__table__).name
    if session.get_bind().dialect.name == "postgresql":
        each = func.nextval(func.pg_get_serial_sequence(name, "id"))
        return [*session.scalars(select(each).select_from(func.generate_series(1, count)))]
    # There is one writer only, and it has begun.
    last = session.scalar(text("SELECT seq FROM sqlite_sequence WHERE name = :name"), {"name": name}) or 0
    return [*range(last + 1, last + 1 + count)]


def _copy(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """COPY with the values as an INSERT would send them, and the columns' own defaults."""
    defaults = {
        each.name: each.default.arg for each in table.columns if isinstance(each.default, ScalarElementColumnDefault)
    }
    names = [each.name for each in table.columns if each.name in rows[0] or each.name in defaults]
    dialect = connection.dialect
    encode = [table.columns[name].type.dialect_impl(dialect).bind_processor(dialect) for name in names]
    quoted = ", ".join(map(dialect.identifier_preparer.quote, names))
    cursor: Any = connection.connection.cursor()
    with cursor, cursor.copy(f"COPY {dialect.identifier_preparer.format_table(table)} ({quoted}) FROM STDIN") as copy:
        for row in rows:
            values = [row.get(name, defaults.get(name)) for name in names]
            copy.write_row([each(value) if each else value for each, value in zip(encode, values, strict=True)])
