"""The SQL statements that an action sends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event


@contextmanager
def statements(*, all_of_them: bool = False) -> Iterator[list[tuple[str, Any]]]:
    """Collect the statements sent to the databases in the block, with their values."""
    queries: list[tuple[str, Any]] = []

    def note(connection, cursor, statement, values, *_):
        # Each process reads the site settings once a second.
        if all_of_them or not statement.startswith(("BEGIN", "SELECT site_settings.")):
            queries.append((statement, values))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield queries
    finally:
        event.remove(Engine, "before_cursor_execute", note)
