"""Cross-site requests: every POST needs the token of its browser, and an expired one costs nobody what they typed."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Flask, Response, current_app, g, make_response, request
from flask_wtf.csrf import CSRFError

from app.extensions import csrf, settings
from app.web.identity import is_api, speaks_for_itself

EXPIRED = "This page was open for too long. What you typed is still here; please send it again."


def init_app(app: Flask) -> None:
    csrf.init_app(app)
    app.before_request(check)


def check() -> None:
    """Refuse a state-changing request without its token, or one that a browser says comes from another site."""
    if request.method not in current_app.config["WTF_CSRF_METHODS"] or request.endpoint is None:
        return
    if is_api() and not _rides_on_a_cookie():
        return
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"} or not _is_own_origin():
        g.is_cross_site = True
        raise CSRFError("This request came from another site.")
    csrf.protect()


def _rides_on_a_cookie() -> bool:
    """Whether a browser may have added the credential by itself. What is public at the API uses none at all."""
    view = current_app.view_functions.get(request.endpoint or "")
    return not speaks_for_itself() and not getattr(view, "is_public", False)


def _is_own_origin() -> bool:
    origin = request.headers.get("Origin")
    if origin is None:
        return True
    own = {request.host_url.rstrip("/"), settings().public_url.rstrip("/")}
    return origin in own or (urlsplit(origin).netloc == request.host and not settings().is_live)


def show_again() -> Response | None:
    """The page that the refused POST came from, filled in again, with a new token; None when it has no page.

    The view runs as for a GET, which changes nothing; only the form is bound to what was sent.
    """
    rule = request.url_rule
    if rule is None or rule.methods is None or "GET" not in rule.methods or g.get("is_cross_site"):
        return None
    request.method = "GET"
    g.shows_again = True
    response = make_response(
        current_app.ensure_sync(current_app.view_functions[rule.endpoint])(**(request.view_args or {}))
    )
    if response.status_code != 200:
        return response
    response.status_code = 400
    return response
