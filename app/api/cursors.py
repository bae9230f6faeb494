"""Cursors: where a list goes on, signed, and good only for the filters and the order that they were given out with."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from itsdangerous import BadData, URLSafeSerializer

from app.errors import InvalidInput, Problem
from app.extensions import settings
from app.services.directory import Place


def write_cursor(place: Place | None, *, of: dict[str, Any]) -> str | None:
    if place is None:
        return None
    is_time = isinstance(place.value, datetime)
    value = place.value.isoformat() if isinstance(place.value, datetime) else place.value
    return str(_signer(of).dumps([value, is_time, place.id]))


def read_cursor(cursor: str | None, *, of: dict[str, Any]) -> Place | None:
    """Raises InvalidInput for one that is not ours, or of another list."""
    if cursor is None:
        return None
    try:
        value, is_time, row_id = _signer(of).loads(cursor)
    except BadData:
        raise InvalidInput([Problem("cursor", "invalid_cursor", "Begin again without a cursor.")]) from None
    return Place(datetime.fromisoformat(value) if is_time else value, row_id)


def _signer(of: dict[str, Any]) -> URLSafeSerializer:
    """The list is part of the signature, so a cursor cannot be carried over to another."""
    salt = "cursor:" + "&".join(f"{name}={value}" for name, value in sorted(of.items()))
    return URLSafeSerializer(list(reversed(settings().signing_keys)), salt=salt)
