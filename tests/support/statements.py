"""The statements that an act sends to the database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event


@contextmanager
def statements(*, all_of_them: bool = False) -> Iterator[list[tuple[str, Any]]]:
    """What the databases are asked meanwhile, with the values."""
    asked: list[tuple[str, Any]] = []

    def note(connection, cursor, statement, values, *_):
        # Each process reads the site's settings once a second.
        if all_of_them or not statement.startswith(("BEGIN", "SELECT site_settings.")):
            asked.append((statement, values))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(Engine, "before_cursor_execute", note)
