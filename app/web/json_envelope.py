"""The envelope of all API responses, including errors."""

from typing import Any

from flask import Response
from pydantic_core import to_json

from app.core import errors


def envelope(data: Any, message: str, problems: list[errors.Problem] | None = None) -> bytes:
    """Return JSON with times as RFC 3339 in UTC; with `problems`, `success` is false."""
    problem_list: Any = problems and [
        {"field": problem.field, "code": problem.code, "message": problem.message} for problem in problems
    ]
    return to_json({"success": problems is None, "data": data, "message": message, "errors": problem_list})


def refusal(status: int, message: str, problems: list[errors.Problem]) -> Response:
    return Response(envelope(None, message, problems), status, mimetype="application/json")
