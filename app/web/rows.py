"""Ids of rows as they come in addresses: no larger than the database can hold, so that a strange one is a 404."""

from __future__ import annotations

from flask import Flask, request
from werkzeug.exceptions import NotFound
from werkzeug.routing import IntegerConverter

LARGEST_ID = 2**63 - 1


class RowId(IntegerConverter):
    """`<id:user_id>`: a whole number from 1 that fits a row's id, written in one way only."""

    regex = "[1-9][0-9]{0,18}"

    def to_python(self, value: str) -> int:
        row_id = int(value)
        # The converter's own bound would say 405 where the address has other methods: no id, no resource.
        if row_id > LARGEST_ID:
            raise NotFound
        return row_id


def init_app(app: Flask) -> None:
    app.url_map.converters["id"] = RowId


def before() -> int | None:
    """The row that a list goes on from (`?before=`), or None to begin at its newest."""
    asked = request.args.get("before", type=int)
    return asked if asked is not None and 0 < asked <= LARGEST_ID else None
