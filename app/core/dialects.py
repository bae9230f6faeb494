"""Statements that differ between SQLite and PostgreSQL."""

import hashlib
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any, cast

from sqlalchemy import Column, ColumnElement, CursorResult, Delete, Dialect, Table, Update, func, select, text
from sqlalchemy.orm import Session as DbSession
from sqlalchemy.sql.schema import ScalarElementColumnDefault

from app.core.models import Base


def upsert(session: DbSession, model: type[Any] | Table) -> Any:
    """Return an INSERT with ON CONFLICT in the database's dialect."""
    # Only the dialect in use is imported: the other would take a tenth of the start-up.
    return import_module(f"sqlalchemy.dialects.{session.get_bind().dialect.name}").insert(model)


def advisory_lock(session: DbSession, key: str) -> None:
    """Serialize transactions under `key` with an advisory lock; SQLite has only one writer."""
    if session.get_bind().dialect.name == "postgresql":
        number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big", signed=True)
        session.execute(select(func.pg_advisory_xact_lock(number)))


def has_room(session: DbSession, *rows: ColumnElement[bool], at_most: int, lock: str) -> bool:
    """Return whether fewer than `at_most` rows match: the one place for limits on a number of rows.

    `lock` names the counted rows, like `api_keys:42`. Transactions with the same lock wait for each other, so each
    counts the rows that the previous one added.
    """
    advisory_lock(session, lock)
    count: int = session.scalars(select(func.count()).where(*rows)).one()
    return count < at_most


def rowcount(session: DbSession, statement: Update | Delete) -> int:
    """Run a conditional change and return the number of changed rows, which decides a race."""
    return cast("CursorResult[Any]", session.execute(statement)).rowcount


def insert_rows(session: DbSession, into: type[Base] | Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert many rows on the driver's connection, with the columns' own defaults; on PostgreSQL by COPY.

    SQLAlchemy takes as long as the database for each row.
    """
    if not rows:
        return
    table = into if isinstance(into, Table) else cast(Table, into.__table__)
    connection = session.connection()
    dialect, quote = connection.dialect, connection.dialect.identifier_preparer
    names = {name for row in rows for name in row}
    columns = [column for column in table.columns if column.name in names or _default_of(column) is not None]
    target = f"{quote.format_table(table)} ({', '.join(quote.quote(column.name) for column in columns)})"
    values = [*zip(*(_encoded(column, rows, dialect) for column in columns), strict=True)]
    if dialect.name == "postgresql":
        cursor: Any = connection.connection.cursor()
        with cursor, cursor.copy(f"COPY {target} FROM STDIN") as copy:
            for value in values:
                copy.write_row(value)
    else:
        marks = ", ".join("?" * len(columns))
        connection.exec_driver_sql(f"INSERT INTO {target} VALUES ({marks})", values)  # noqa: S608 - our tables' names.


def _default_of(column: Column[Any]) -> Any:
    return column.default.arg if isinstance(column.default, ScalarElementColumnDefault) else None


def _encoded(column: Column[Any], rows: Sequence[dict[str, Any]], dialect: Dialect) -> Iterable[Any]:
    """Return the column's values as the driver takes them."""
    name, default = column.name, _default_of(column)
    values = [row.get(name, default) for row in rows]
    encode = column.type.dialect_impl(dialect).bind_processor(dialect)
    return map(encode, values) if encode else values


def next_ids(session: DbSession, model: type[Base], count: int) -> list[int]:
    """Return new IDs of a table, for rows that `insert_rows` inserts in this transaction."""
    name = cast(Table, model.__table__).name
    if session.get_bind().dialect.name == "postgresql":
        next_id = func.nextval(func.pg_get_serial_sequence(name, "id"))
        return [*session.scalars(select(next_id).select_from(func.generate_series(1, count)))]
    # SQLite has one writer, and this transaction is it.
    last = session.scalar(text("SELECT seq FROM sqlite_sequence WHERE name = :name"), {"name": name}) or 0
    return [*range(last + 1, last + 1 + count)]
