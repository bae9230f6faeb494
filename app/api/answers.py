"""Answers in their envelope: `{"success", "data", "message", "errors"}`, with the headers that belong to it."""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field
from typing import Any

from flask import Response, request

from app.web.envelope import envelope

SMALLEST_TO_COMPRESS = 1024


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
    """Only answers without secrets are compressed (BREACH): lists and the description of the API, for GET."""
    response = Response(envelope(answer.data, answer.message), answer.status, mimetype="application/json")
    response.headers.update(answer.headers)
    if answer.etag is not None:
        response.headers["ETag"] = f'"{answer.etag}"'
        response.headers["Cache-Control"] = "private, no-cache"
        if request.method in {"GET", "HEAD"}:
            response.make_conditional(request)
    return response


def compressed(response: Response) -> Response:
    """The body as gzip, if the client accepts it and it saves enough."""
    response.vary.add("Accept-Encoding")
    if (
        response.status_code != 200
        or request.accept_encodings.quality("gzip") <= 0
        or (response.content_length or 0) < SMALLEST_TO_COMPRESS
    ):
        return response
    response.set_data(gzip.compress(response.get_data(), compresslevel=5, mtime=0))
    response.headers["Content-Encoding"] = "gzip"
    tag, _ = response.get_etag()
    if tag is not None:
        response.set_etag(tag, weak=True)
    return response
