"""Redirects: only to paths of this site, and never with a one-time token left in the address bar."""

import re
from urllib.parse import quote, urlsplit

from flask import Response, current_app, flash, g, make_response, redirect, request, session, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect

from app.auth.models import Purpose
from app.auth.pending_sign_in import bind_pending
from app.core import errors, urls
from app.core.extensions import settings
from app.core.tokens import token_hash
from app.web.session_cookie import LINK, set_cookie

# Only characters of our own URLs: no white space, no backslash, no control character, no second slash.
_OWN_PATH = re.compile(r"/(?!/)[A-Za-z0-9/_.~%-]*(\?[A-Za-z0-9/_.~%&=+,:;!'()*@$?-]*)?")
_URL = re.compile(r"((?i:https?)://[A-Za-z0-9.-]+(?::\d+)?)(/[A-Za-z0-9/_.~%&=+,:;!'()*@$?-]*)")
# What browsers and proxies send raw in an address, and we send escaped; a backslash only after the question mark, where
# browsers do not take it for a slash.
_RAW = {ord(character): quote(character) for character in '"<>[]^`{|}'}
_RAW_IN_QUERY = _RAW | {ord("\\"): "%5C"}
MAX_PATH_LENGTH = 512
MAX_URL_LENGTH = 2000
NEXT_SECONDS = 15 * 60
MAX_OPEN_LINKS = 4  # For each purpose: browsers limit a cookie to 4 KiB.


def own_path(target: str | None) -> str:
    """Return `target`, escaped, if a browser resolves it to a page of this site; else an empty string."""
    target = _escaped(target, at_most=MAX_PATH_LENGTH)
    path, mounted_at = target.partition("?")[0], request.script_root
    if not _OWN_PATH.fullmatch(target) or "//" in path or not path.startswith(f"{mounted_at}/"):
        return ""
    adapter = current_app.url_map.bind("localhost")
    try:
        endpoint, _ = adapter.match(path.removeprefix(mounted_at), method="GET")
    except (HTTPException, RequestRedirect):
        return ""
    return target if str(endpoint) != "static" else ""


def return_url(target: str | None) -> str:
    """Return `target`, escaped and normalized, if it is a page of an app in RETURN_HOSTS; else an empty string."""
    match = _URL.fullmatch(_escaped(target, at_most=MAX_URL_LENGTH))
    if match is None:
        return ""
    try:
        origin = urls.origin(match[1])
    except ValueError:
        return ""
    return f"{origin}{match[2]}" if origin in settings().return_origins else ""


def _escaped(target: str | None, *, at_most: int) -> str:
    if not target or len(target) > at_most:
        return ""
    path, mark, query = target.partition("?")
    escaped = f"{path.translate(_RAW)}{mark}{query.translate(_RAW_IN_QUERY)}"
    return escaped if len(escaped) <= at_most else ""


def next_page(target: str | None, *, otherwise: str) -> str:
    """Return `target` if it is ours, or the page of the endpoint `otherwise`."""
    return own_path(target) or url_for(otherwise)


def onward(target: str | None) -> Response:
    """Redirect after sign-in to `target`, a page of ours or of an app in RETURN_HOSTS, or to the account."""
    keep_next(None)
    bind_pending(target)
    return make_response(redirect(return_url(target) or next_page(target, otherwise="account.profile")))


def keep_next(target: str | None) -> None:
    """Store the target page in its own cookie during sign-in with a provider or a second step.

    The session cookie has no room for it: browsers limit each to 4 KiB.
    """
    path = own_path(target) or return_url(target)
    if path or settings().cookie_name("next") in request.cookies:
        set_cookie(settings().cookie_name("next"), path, max_age=NEXT_SECONDS if path else 0)


def kept_next() -> str | None:
    """Return the target page stored in this browser; a target elsewhere is dropped when it is used."""
    return request.cookies.get(settings().cookie_name("next")) or None


def here() -> str | None:
    """Return the page to come back to: this one, or for a POST without one the page it was sent from."""
    path = request.full_path.rstrip("?") if request.method in {"GET", "HEAD"} else request.path
    whole = request.script_root + path
    if request.method == "POST" and not own_path(whole):
        sent_from = urlsplit(request.referrer or "")
        whole = f"{sent_from.path}?{sent_from.query}".rstrip("?") if sent_from.netloc == request.host else "/"
    return own_path(whole) or None if whole != f"{request.script_root}/" else None


def done(message: str, *, to: str, kind: str = "success", **values: object) -> ResponseReturnValue:
    """Redirect to the page of the endpoint `to`, with a message: of success, or of another kind."""
    flash(message, kind)
    if kind == "error":
        g.setdefault("refused_as", errors.AccountError.code)
    return redirect(url_for(to, **values))  # type: ignore[arg-type]


def keep_link(token: str, purpose: Purpose, *, then: str) -> Response:
    """Move a one-time token out of the address, history and Referer into the session cookie, and redirect."""
    kept = [other for other in _kept(purpose) if other != token]
    session[f"{LINK}{purpose}"] = [*kept, token][-MAX_OPEN_LINKS:]
    response = make_response(redirect(url_for(then), code=303))
    g.referrer_policy = "no-referrer"
    return response


def kept_link(purpose: Purpose) -> str:
    """Return the token of the link that this form belongs to, or of the link opened last. Raises InvalidLink if there
    is none.

    Several links can be open in one browser, so each form has its own handle.
    """
    kept, handle = _kept(purpose), request.form.get("link")
    if handle is not None:
        kept = [token for token in kept if link_handle(token) == handle]
    elif len(kept) > 1 and request.method == "POST":
        kept = []  # It could belong to another account.
    if not kept:
        raise errors.InvalidLink
    return kept[-1]


def link_handle(token: str) -> str:
    """Return the handle of a link in a form: it identifies one of this browser's tokens without revealing it."""
    return token_hash(f"handle of {token}")[:32]


def drop_link(token: str, purpose: Purpose) -> None:
    session[f"{LINK}{purpose}"] = [other for other in _kept(purpose) if other != token]


def _kept(purpose: Purpose) -> list[str]:
    kept = session.get(f"{LINK}{purpose}")
    return kept if isinstance(kept, list) else []
