"""The decorator of endpoints, which declares what each accepts, returns and refuses."""

import hashlib
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from functools import wraps
from typing import Any

from flask import Response, request
from pydantic import BaseModel

from app.api.parsing import read_body, read_query
from app.api.responses import Answer, respond
from app.core import errors
from app.unit_of_work import as_one
from app.web import current_user
from app.web.compression import compressed
from app.web.json_envelope import envelope
from app.web.views import mark_view

View = Callable[..., Any]
MAX_KEY_LENGTH = 255


@dataclass(frozen=True, slots=True)
class Spec:
    """The declaration of an endpoint, for its views as a decorator and for the OpenAPI document.

    The view gets its validated `body` and `query`; its result is wrapped in the envelope. `needs_body`: a request
    without a body is refused, even if every field is optional. `refuses` are its own refusals, or codes of a 422.
    `replays`: a repeated `Idempotency-Key` gets the first response again. `lists`: the response may be compressed.
    `upload`: the media types, with their schemas, of a body that the view reads itself.
    """

    data: Any = None
    _: KW_ONLY
    tag: str
    status: int = 200
    body: type[BaseModel] | None = None
    needs_body: bool = True
    query: type[BaseModel] | None = None
    refuses: tuple[type[errors.AccountError] | str, ...] = ()
    replays: bool = False
    etag: bool = False
    lists: bool = False
    upload: dict[str, Any] = field(default_factory=dict)

    def __call__(self, view: View) -> View:
        @wraps(view)
        def answer(**values: Any) -> Response:
            if self.body is not None:
                values["body"] = read_body(self.body, is_optional=not self.needs_body)
            if self.query is not None:
                values["query"] = read_query(self.query)
            elif request.args:
                raise errors.InvalidInput(
                    [errors.Problem(name[:100], "unknown_field", "Unknown field.") for name in request.args]
                )
            if self.replays and "Idempotency-Key" in request.headers:
                return _once(view, values, self.status)
            response = respond(_answer(view(**values), self.status))
            return compressed(response) if self.lists else response

        return mark_view(spec=self)(answer)


endpoint = Spec


def _answer(returned: Any, status: int) -> Answer:
    return returned if isinstance(returned, Answer) else Answer(returned, status=status)


def _once(view: View, values: dict[str, Any], status: int) -> Response:
    """Run the view once: its changes and the stored response commit together, so a repeated request finds both or
    neither.
    """
    key = request.headers["Idempotency-Key"]
    if not 0 < len(key) <= MAX_KEY_LENGTH or not key.isprintable() or not key.isascii():
        raise errors.InvalidInput(
            [errors.Problem(None, "idempotency_key", "Idempotency-Key must have 1 to 255 printable characters.")]
        )
    who = current_user.signed_in()
    mine = {"caller": f"user:{who.user_id}", "key": key}
    request_hash = hashlib.sha256(f"{request.method} {request.path}\n".encode() + request.get_data()).hexdigest()
    with as_one() as work:
        before = work.idempotency.claim(**mine, fingerprint=request_hash)
        if before is not None:
            again = Response(before.body, before.status, before.headers, mimetype="application/json")
            again.headers["Idempotency-Replayed"] = "true"
            return again
        try:
            answer = _answer(view(**values), status)
        except errors.CommittedRefusal:
            work.idempotency.release(**mine)  # Counters and events are committed; the refusal is not stored.
            raise
        kept = envelope(answer.data if answer.again is None else answer.again, answer.message).decode()
        headers = {**answer.headers, **({"ETag": f'"{answer.etag}"'} if answer.etag else {})}
        work.idempotency.store(**mine, status=answer.status, headers=headers, body=kept)
    return respond(answer)
