"""Ids of rows as they come in addresses: no larger than the database can hold, so that a strange one is a 404."""

from __future__ import annotations

from flask import Flask, request
from werkzeug.routing import IntegerConverter, Map

LARGEST_ID = 2**63 - 1


class RowId(IntegerConverter):
    """`<id:user_id>`: a whole number from 1 that fits a row's id."""

    def __init__(self, url_map: Map) -> None:
        super().__init__(url_map, min=1, max=LARGEST_ID)


def init_app(app: Flask) -> None:
    app.url_map.converters["id"] = RowId


def before() -> int | None:
    """The row that a list goes on from (`?before=`), or None to begin at its newest."""
    asked = request.args.get("before", type=int)
    return asked if asked is not None and 0 < asked <= LARGEST_ID else None
