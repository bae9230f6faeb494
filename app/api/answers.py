"""Answers in their envelope: `{"success", "data", "message", "errors"}`, with the headers that belong to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from flask import Response, request

from app.web.envelope import envelope


@dataclass(frozen=True, slots=True)
class Answer:
    """What a view returns when it sets more than the data; `etag` is without its quotes."""

    data: Any = None
    message: str = ""
    status: int = 200
    etag: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    # What a repeated Idempotency-Key returns instead, if the first answer held a secret.
    again: Any = None


def respond(answer: Answer) -> Response:
    response = Response(envelope(answer.data, answer.message), answer.status, mimetype="application/json")
    response.headers.update(answer.headers)
    if answer.etag is not None:
        response.headers["ETag"] = f'"{answer.etag}"'
        response.headers["Cache-Control"] = "private, no-cache"
        if request.method in {"GET", "HEAD"}:
            response.make_conditional(request)
    return response
