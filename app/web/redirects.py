"""Where to go next: only to paths of our own, and never with a one-time token left in the address bar."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from flask import Response, current_app, flash, g, make_response, redirect, request, session, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect

from app.errors import DeadLink
from app.models import Purpose

# Only what our own addresses are made of: no white space, no backslash, no control character, no second slash.
_OWN_PATH = re.compile(r"/(?!/)[A-Za-z0-9/_.~%-]*(\?[A-Za-z0-9/_.~%&=+,:-]*)?")
LONGEST_PATH = 512


def is_own_path(target: str) -> bool:
    """Whether a browser would take `target` to a page of this site, and to nothing else."""
    if len(target) > LONGEST_PATH or not _OWN_PATH.fullmatch(target) or "//" in urlsplit(target).path:
        return False
    adapter = current_app.url_map.bind("localhost")
    try:
        endpoint, _ = adapter.match(urlsplit(target).path, method="GET")
    except (HTTPException, RequestRedirect):
        return False
    return str(endpoint) != "static"


def next_page(target: str | None, *, otherwise: str) -> str:
    """`target` if it is ours, or the page of the endpoint `otherwise`."""
    return target if target and is_own_path(target) else url_for(otherwise)


def here() -> str | None:
    """The page to come back to: this one, or for a POST the page it was sent from if that can be shown."""
    path = request.full_path.rstrip("?") if request.method in {"GET", "HEAD"} else request.path
    return path if path != "/" and is_own_path(path) else None


def done(message: str, *, to: str, **values: object) -> ResponseReturnValue:
    """It worked: say so on the page of the endpoint `to`."""
    flash(message, "success")
    return redirect(url_for(to, **values))  # type: ignore[arg-type]


def keep_link(token: str, purpose: Purpose, *, then: str) -> Response:
    """Take a one-time token out of the address, history and Referer: keep it in the session and go on without it."""
    session[f"link:{purpose}"] = token
    response = make_response(redirect(url_for(then), code=303))
    g.referrer_policy = "no-referrer"
    return response


def kept_link(purpose: Purpose) -> str:
    """The token that `keep_link` kept. Raises DeadLink when there is none."""
    token = session.get(f"link:{purpose}")
    if not isinstance(token, str):
        raise DeadLink
    return token


def drop_link(purpose: Purpose) -> None:
    session.pop(f"link:{purpose}", None)
