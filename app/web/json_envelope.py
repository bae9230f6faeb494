"""The envelope of all API responses, including errors."""

from __future__ import annotations

from typing import Any

from flask import Response
from pydantic_core import to_json

from app.errors import Problem


def envelope(data: Any, message: str, problems: list[Problem] | None = None) -> bytes:
    """Return JSON with times as RFC 3339 in UTC; with `problems`, `success` is false."""
    errors: Any = problems and [
        {"field": problem.field, "code": problem.code, "message": problem.message} for problem in problems
    ]
    return to_json({"success": problems is None, "data": data, "message": message, "errors": errors})


def refusal(status: int, message: str, problems: list[Problem]) -> Response:
    return Response(envelope(None, message, problems), status, mimetype="application/json")
