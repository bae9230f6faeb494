"""Cursors: a signed position in a list, valid only for the same filters and order."""

from datetime import datetime
from typing import Any

from itsdangerous import BadData, URLSafeSerializer

from app.core import errors
from app.core.extensions import settings
from app.users.services.search import Position


def write_cursor(position: Position | None, *, of: dict[str, Any]) -> str | None:
    if position is None:
        return None
    is_time = isinstance(position.value, datetime)
    value = position.value.isoformat() if isinstance(position.value, datetime) else position.value
    return str(_signer(of).dumps([value, is_time, position.id]))


def read_cursor(cursor: str | None, *, of: dict[str, Any]) -> Position | None:
    """Raises InvalidInput for one that we did not sign, or of another list."""
    if cursor is None:
        return None
    try:
        value, is_time, row_id = _signer(of).loads(cursor)
    except BadData:
        raise errors.InvalidInput(
            [errors.Problem("cursor", "invalid_cursor", "Start again without a cursor.")]
        ) from None
    return Position(datetime.fromisoformat(value) if is_time else value, row_id)


def _signer(of: dict[str, Any]) -> URLSafeSerializer:
    """Return a signer for this list only, so that a cursor cannot be used for another."""
    salt = "cursor:" + "&".join(f"{name}={value}" for name, value in sorted(of.items()))
    return URLSafeSerializer(list(reversed(settings().signing_keys)), salt=salt)
