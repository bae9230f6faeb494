"""Responses in their envelope `{success, data, message, errors}`, with their headers."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

from flask import Response, request

from app.core import errors
from app.web.json_envelope import envelope


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a view that sets more than the data; `etag` names the version of the resource."""

    data: Any = None
    message: str = ""
    status: int = 200
    etag: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    # The response to a repeated Idempotency-Key, if the first one contained a secret.
    again: Any = None


def check_unchanged(tag: str) -> None:
    """Raise EditConflict where `If-Match` names another version than `tag`, or none.

    An ETag of ours is the version and a digest of the representation. Proxies that compress add a suffix (Apache) or
    `W/` (nginx): both still name the version.
    """
    if "If-Match" not in request.headers or request.if_match.star_tag:
        return
    if not any(
        seen == tag or seen.startswith(f"{tag}-") for seen in request.if_match.as_set(include_weak=True) if seen
    ):
        raise errors.EditConflict


def respond(answer: Answer) -> Response:
    body = envelope(answer.data, answer.message)
    response = Response(body, answer.status, mimetype="application/json")
    response.headers.update(answer.headers)
    if answer.etag is not None:
        # The representation can change while the version stays: a role's new name, a last-seen time.
        response.headers["ETag"] = f'"{answer.etag}-{hashlib.sha256(body).hexdigest()[:12]}"'
        response.headers["Cache-Control"] = "no-store"
        if request.method in {"GET", "HEAD"}:
            response.make_conditional(request)
    return response
