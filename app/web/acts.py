"""What a button does: one act, and a sentence on the page that it leads to."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from flask.typing import ResponseReturnValue

from app.errors import AccountError
from app.unit_of_work import Work, unit_of_work
from app.web.errors import status_of
from app.web.redirects import done


def attempt(act: Callable[[Work], object], *, said: str, to: str, **values: Any) -> ResponseReturnValue:
    """Do it in one unit of work and say so at the endpoint `to`; or say there why it cannot be done as things are.

    Any other refusal (not allowed, not found) is raised.
    """
    try:
        with unit_of_work() as work:
            act(work)
    except AccountError as refusal:
        if status_of(type(refusal), api=False) != HTTPStatus.CONFLICT:
            raise
        return done(str(refusal), to=to, kind="error", **values)
    return done(said, to=to, **values)
