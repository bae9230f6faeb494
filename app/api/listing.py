"""Lists in pages, by cursor."""

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, TypeVar

from app.api.schemas import PageQuery
from app.users.services.search import Position
from app.web.cursors import read_cursor, write_cursor

Row = TypeVar("Row")


def list_page(
    query: PageQuery,
    read: Callable[[int | None, int], Sequence[Row]],
    shown: Callable[[Row], dict[str, Any]],
    *,
    of: dict[str, Any],
    position: str = "id",
) -> dict[str, Any]:
    """Return a page of the list `of`. `read` gets the position that the last page ended with, and a limit.

    Raises InvalidInput for the cursor of another list.
    """
    after = read_cursor(query.cursor, of=of)
    rows = read(after.id if after else None, query.limit + 1)
    shown_rows = rows[: query.limit]
    following = Position(None, attrgetter(position)(shown_rows[-1])) if len(rows) > query.limit else None
    return {"items": [shown(row) for row in shown_rows], "next": write_cursor(following, of=of)}
