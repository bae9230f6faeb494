"""CSRF protection: every POST needs its browser's token; if it has expired, the filled form is shown again."""

import hashlib
from urllib.parse import urlsplit

from flask import Response, current_app, g, make_response, request, session
from flask_wtf.csrf import CSRFError, generate_csrf
from itsdangerous import BadData, URLSafeTimedSerializer

from app.core import urls
from app.core.extensions import csrf, settings
from app.core.remembered import Remembered
from app.web.current_user import has_explicit_credential, is_api
from app.web.views import mark_view, view_property

EXPIRED = "This page was open for too long. What you entered is still here. Send it again."
NO_COOKIE = (
    "This page was open for too long. If you see this again, allow cookies for this site. "
    "What you entered is still here. Send it again."
)


_tokens: Remembered[str] = Remembered()


def csrf_token() -> str:
    """Return the CSRF token of this session: one signed within the last minute, or a new one."""
    token: str | None = g.get("csrf_token")  # Where Flask-WTF keeps it.
    if token is None:
        secret = session.get("csrf_token")
        if not secret:
            return str(generate_csrf())
        key = hashlib.sha256(f"{settings().signing_keys[0]} {secret}".encode()).digest()
        token = g.csrf_token = _tokens.find(key) or _tokens.keep(key, generate_csrf())
    return token


def check_csrf() -> None:
    """Refuse a state-changing request without its token, or with an `Origin` of another site."""
    if request.method not in current_app.config["WTF_CSRF_METHODS"] or request.endpoint is None:
        return
    if is_api() and not _is_sent_automatically():
        return
    if _is_cross_site():
        raise CSRFError("This request came from another site.")
    if view_property("origin_suffices") and (_tells_origin() or _has_token_of_ours()):
        return
    csrf.protect()


def _is_cross_site() -> bool:
    """Return whether the browser says that another site sent the request."""
    return request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"} or not _is_own_origin()


# Accept forms with an older token if the origin is ours, so that sign-in in another tab does not break them.
#
# The browser says that the request comes from this site, or we signed the token, for any session at any time; and no
# browser sends a Lax cookie with another site's POST.
origin_suffices = mark_view(origin_suffices=True)


def _tells_origin() -> bool:
    """Return whether the browser sent an origin, which was checked before."""
    return "Origin" in request.headers or "Sec-Fetch-Site" in request.headers


def _has_token_of_ours() -> bool:
    signer = URLSafeTimedSerializer(current_app.secret_key or "", salt="wtf-csrf-token")
    try:
        signer.loads(request.form.get(current_app.config["WTF_CSRF_FIELD_NAME"], ""))
    except BadData:
        return False
    return True


def has_cookie() -> bool:
    """Return whether the browser sent our session cookie, valid or not."""
    return current_app.config["SESSION_COOKIE_NAME"] in request.cookies


def _is_sent_automatically() -> bool:
    """Return whether the browser may have added the credential by itself. Public API endpoints use none."""
    return not has_explicit_credential() and not view_property("is_public")


def _is_own_origin() -> bool:
    header = request.headers.get("Origin")
    if header is None:
        return True
    try:
        origin = urls.origin(header)
    except ValueError:
        return False
    if origin in {urls.origin(settings().public_url), urls.origin(request.host_url)}:
        return True
    return not settings().is_live and urlsplit(origin).netloc == request.host


def show_again(why: str = "", *, status: int = 400) -> Response | None:
    """Return the page of the refused POST, filled in, with a new token; None if it has no page.

    The view runs as for a GET, which changes nothing; the form is bound to the sent values. `why` is shown above the
    form.
    """
    rule = request.url_rule
    is_form = request.method == "POST" and rule is not None and rule.methods is not None and "GET" in rule.methods
    if rule is None or not is_form or is_api() or _is_cross_site():
        return None
    request.method = "GET"
    g.shows_again = why or (EXPIRED if has_cookie() else NO_COOKIE)
    try:
        response = make_response(current_app.view_functions[rule.endpoint](**(request.view_args or {})))
    except Exception as problem:  # noqa: BLE001 - answered as for any view.
        return make_response(current_app.handle_user_exception(problem))
    if response.status_code != 200:
        return response
    response.status_code = status
    return response
