"""Actions of buttons: a confirmation page, one transaction, and a message on the next page."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from flask import Response
from flask.typing import ResponseReturnValue

from app.core import errors
from app.unit_of_work import Work, unit_of_work
from app.web.forms import Form
from app.web.pages import page
from app.web.redirects import done


def ask(
    title: str,
    text: str,
    *,
    button: str,
    above: list[tuple[str, str]],
    form: Form | None = None,
    hint: str | None = None,
) -> Response:
    """Return a confirmation page for an action that can't be undone; its button sends a POST to the same URL.

    `above` are the texts and URLs of the pages above it; "Cancel" leads to the last. A `reason` in `form` is asked
    for, with `hint`.
    """
    return page("ask.html", form or Form(), title=title, text=text, button=button, above=above, hint=hint)


def attempt(act: Callable[[Work], object], *, message: str, to: str, **values: Any) -> ResponseReturnValue:
    """Act in one unit of work and redirect to `to` with a message, or with the reason of the refusal.

    Any other refusal (not allowed, not found) is raised.
    """
    try:
        with unit_of_work() as work:
            act(work)
    except errors.AccountError as refusal:
        if refusal.status != HTTPStatus.CONFLICT:
            raise
        return done(str(refusal), to=to, kind="error", **values)
    return done(message, to=to, **values)
