"""Query parameters of lists; IDs are limited to what the database can hold, so that others are a 404."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Generic, Protocol, TypeVar

from flask import Flask, request, url_for
from werkzeug.exceptions import NotFound
from werkzeug.routing import IntegerConverter

from app.core.lengths import MAX_SEARCH_LENGTH
from app.core.models import MAX_ID
from app.web.viewer import viewer_zone


class HasId(Protocol):
    @property
    def id(self) -> int: ...


Row = TypeVar("Row", bound=HasId)


class RowId(IntegerConverter):
    """`<id:user_id>`: a whole number from 1 that fits a row's id, in canonical form."""

    regex = "[1-9][0-9]{0,18}"

    def to_python(self, value: str) -> int:
        row_id = int(value)
        # With the converter's own bound, a URL with other methods would be a 405 instead of a 404.
        if row_id > MAX_ID:
            raise NotFound
        return row_id


def init_app(app: Flask) -> None:
    app.url_map.converters["id"] = RowId


def query_text(name: str) -> str:
    """Return a query parameter as one line, cut to MAX_SEARCH_LENGTH."""
    return " ".join(request.args.get(name, "")[:MAX_SEARCH_LENGTH].replace("\x00", "").split())


def day(text: str) -> datetime | None:
    """Return the start of a day like 2026-11-25 in the viewer's time zone; None if invalid."""
    try:
        return datetime.combine(date.fromisoformat(text), time(), viewer_zone()).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def day_after(text: str) -> datetime | None:
    """Return the end of a day like 2026-11-25, not always 24 hours after its start; None if invalid."""
    try:
        return day((date.fromisoformat(text) + timedelta(days=1)).isoformat())
    except (ValueError, OverflowError):
        return None


def before() -> int | None:
    """Return the ID that a list continues below (`?before=`), or None to start at the newest."""
    position = request.args.get("before", type=int)
    return position if position is not None and 0 < position <= MAX_ID else None


@dataclass(frozen=True, slots=True)
class Paged(Generic[Row]):
    """A page of a list, with the URLs of the first page and the next one, where there is one."""

    rows: Sequence[Row]
    newest_url: str | None
    older_url: str | None


def paginate(read: Sequence[Row], *, size: int, **filters: Any) -> Paged[Row]:
    """Return the page that begins at `before`, of rows that were read with the limit `size + 1`."""
    rows, endpoint = read[:size], request.endpoint or ""
    return Paged(
        rows,
        newest_url=url_for(endpoint, **filters) if before() is not None else None,
        older_url=url_for(endpoint, **filters, before=rows[-1].id) if len(read) > size else None,
    )
