"""Ids in URLs: limited to what the database can hold, so that others are a 404."""

from __future__ import annotations

from flask import Flask, request
from werkzeug.exceptions import NotFound
from werkzeug.routing import IntegerConverter

LARGEST_ID = 2**63 - 1


class RowId(IntegerConverter):
    """`<id:user_id>`: a whole number from 1 that fits a row's id, in canonical form."""

    regex = "[1-9][0-9]{0,18}"

    def to_python(self, value: str) -> int:
        row_id = int(value)
        # With the converter's own bound, a URL with other methods would be a 405 instead of a 404.
        if row_id > LARGEST_ID:
            raise NotFound
        return row_id


def init_app(app: Flask) -> None:
    app.url_map.converters["id"] = RowId


def before() -> int | None:
    """The row that a list continues from (`?before=`), or None to start at the newest."""
    asked = request.args.get("before", type=int)
    return asked if asked is not None and 0 < asked <= LARGEST_ID else None
