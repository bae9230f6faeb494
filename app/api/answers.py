"""Answers in their envelope: `{"success", "data", "message", "errors"}`, with the headers that belong to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from flask import Response, request

from app.errors import Changed
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


def check_unchanged(tag: str) -> None:
    """Raises Changed where `If-Match` names another version than `tag`, or none.

    A selection of fields has the whole's version and a suffix.
    """
    if "If-Match" not in request.headers or request.if_match.star_tag:
        return
    if not any(seen == tag or seen.startswith(f"{tag}-") for seen in request.if_match.as_set() if seen):
        raise Changed


def respond(answer: Answer) -> Response:
    response = Response(envelope(answer.data, answer.message), answer.status, mimetype="application/json")
    response.headers.update(answer.headers)
    if answer.etag is not None:
        response.headers["ETag"] = f'"{answer.etag}"'
        response.headers["Cache-Control"] = "no-store"
        if request.method in {"GET", "HEAD"}:
            response.make_conditional(request)
    return response
