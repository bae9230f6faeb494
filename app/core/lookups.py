"""SELECTs of every request: compiled once, and run on the driver's connection.

Building, compiling and running one through SQLAlchemy takes about five times as long as the database does.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Dialect, Engine, PoolProxiedConnection, Select
from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError
from sqlalchemy.orm import Session, scoped_session

# An engine runs it by itself; a session or a connection in its own transaction.
Source = Engine | Connection | Session | scoped_session[Any]
_Process = Callable[[Any], Any] | None


class Lookup:
    """A SELECT with named parameters and nothing that depends on their values."""

    def __init__(
        self, statement: Select[*tuple[Any, ...]], *, unmigrated: Select[*tuple[Any, ...]] | None = None
    ) -> None:
        """`unmigrated` is the statement without a new column, for a database that does not have it yet."""
        self.statement = statement
        self._unmigrated = Lookup(unmigrated) if unmigrated is not None else None
        self._compiled: dict[str, _Compiled] = {}

    def all(self, source: Source, **values: Any) -> list[Any]:
        """Return the rows, with columns as attributes. Raises SQLAlchemy's errors."""
        try:
            return self._all(source, values)
        except (OperationalError, ProgrammingError) as problem:
            if self._unmigrated is None or not _is_missing_column(problem):
                raise
            return self._unmigrated.all(source, **values)

    def _all(self, source: Source, values: dict[str, Any]) -> list[Any]:
        if not isinstance(source, Engine):
            return list(source.execute(self.statement, values).all())
        # Who listens for statements (Sentry, OpenTelemetry) is to hear of all of them.
        if not source.dispatch.before_cursor_execute:
            try:
                return self._run(source, values)
            except source.dialect.loaded_dbapi.Error:
                pass  # It may be the connection's fault, so it is tried again; if not, SQLAlchemy raises its own error.
        with source.connect() as connection:
            return list(connection.execute(self.statement, values).all())

    def _run(self, engine: Engine, values: dict[str, Any]) -> list[Any]:
        compiled = self._compiled.get(engine.dialect.name)
        if compiled is None:
            compiled = self._compiled[engine.dialect.name] = _Compiled.of(self.statement, engine.dialect)
        connection = engine.raw_connection()
        try:
            rows = compiled.run(connection, values)
        except BaseException:
            connection.invalidate()
            raise
        connection.close()
        return rows

    def first(self, source: Source, **values: Any) -> Any:
        """Return the first row, or None."""
        return next(iter(self.all(source, **values)), None)


def _is_missing_column(problem: DBAPIError) -> bool:
    is_undefined = getattr(problem.orig, "sqlstate", None) == "42703"  # PostgreSQL's undefined_column.
    return is_undefined or "no such column" in str(problem.orig)


@dataclass(frozen=True, slots=True)
class _Compiled:
    text: str
    is_positional: bool
    parameters: tuple[tuple[str, Any, _Process], ...]
    row: Callable[[list[Any]], Any]
    processed: tuple[tuple[int, Any], ...]

    @classmethod
    def of(cls, statement: Select[*tuple[Any, ...]], dialect: Dialect) -> _Compiled:
        compiled: Any = statement.compile(dialect=dialect)
        if compiled.literal_execute_params or compiled.post_compile_params:
            raise TypeError("the text of a lookup must not depend on its values")
        parameters = compiled.construct_params(_check=False)
        names = compiled.positiontup if compiled.positional else list(parameters)
        columns = statement.selected_columns
        readers = [column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns]
        row: Any = namedtuple("Row", columns.keys())  # type: ignore[misc]
        return cls(
            str(compiled),
            bool(compiled.positional),
            tuple((name, parameters[name], compiled._bind_processors.get(name)) for name in names),
            row._make,
            tuple((place, reader) for place, reader in enumerate(readers) if reader is not None),
        )

    def run(self, connection: PoolProxiedConnection, values: dict[str, Any]) -> list[Any]:
        driver: Any = connection.driver_connection
        sent: Any = {}
        for name, usual, write in self.parameters:
            value = values.get(name, usual)
            sent[name] = write(value) if write else value
        if self.is_positional:
            sent = tuple(sent[name] for name, _, _ in self.parameters)
        beginning = getattr(driver, "beginning", None)  # PostgreSQL: with the limits of `app/core/patience.py`.
        if beginning is not None and (statements := beginning()):
            driver.execute(statements)
        rows = []
        for values_read in driver.execute(self.text, sent).fetchall():
            read = list(values_read)
            for place, reader in self.processed:
                read[place] = reader(read[place])
            rows.append(self.row(read))
        return rows
