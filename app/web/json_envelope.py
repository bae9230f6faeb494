"""The envelope of every answer of the API, errors included."""

from __future__ import annotations

from typing import Any

from flask import Response
from pydantic_core import to_json

from app.errors import Problem


def envelope(data: Any, message: str, problems: list[Problem] | None = None) -> bytes:
    """JSON with times as RFC 3339 in UTC; with `problems`, `success` is false."""
    errors: Any = problems and [{"field": each.field, "code": each.code, "message": each.message} for each in problems]
    return to_json({"success": problems is None, "data": data, "message": message, "errors": errors})


def refusal(status: int, message: str, problems: list[Problem]) -> Response:
    return Response(envelope(None, message, problems), status, mimetype="application/json")
