"""The signed-in user: every kind of credential becomes one Principal, loaded once per request and never cached."""

import logging
from functools import lru_cache
from ipaddress import ip_address
from typing import cast

from flask import Flask, Request, Response, g, request, session
from flask_login import current_user
from itsdangerous import BadData

from app.auth.access import CredentialKind
from app.auth.access_tokens import Access, BadToken, read_token
from app.auth.services.last_seen import NOTE_AFTER_SECONDS, WRITE_AFTER_SECONDS, Use
from app.auth.services.principals import Expired, Found, find_by_access_token, find_by_cookie
from app.core.cache import cache
from app.core.database import DATABASE_AWAY, one_read
from app.core.extensions import db, features, login_manager, now, settings
from app.core.lengths import MAX_USER_AGENT_LENGTH
from app.core.principal import Origin, Principal, Visit
from app.core.tokens import token_hash
from app.unit_of_work import unit_of_work
from app.web.session_cookie import TOKEN, CookieSession, device_cookie, forward_cookie_name, forward_signer, is_shared
from app.web.views import mark_view, view_property

log = logging.getLogger(__name__)

PRIVILEGES = "may"  # A hash of the session's privileges at its last request.


def init_app(app: Flask) -> None:
    app.session_interface = CookieSession()
    login_manager.init_app(app, add_context_processor=False)
    login_manager.request_loader(_load)


def principal() -> Principal | None:
    """Return the signed-in principal, or None."""
    user = g.get("_login_user") or current_user._get_current_object()  # Flask-Login stores the loaded user there.
    return user if isinstance(user, Principal) else None


def signed_in() -> Principal:
    """Return the principal on a page that requires one."""
    who = principal()
    if who is None:
        raise RuntimeError("this page is public; use principal()")
    return who


def visit() -> Visit:
    return cast(Origin, g.origin).visit


def note_visit() -> None:
    """Store the origin of the request for the audit log and throttles."""
    g.origin = Origin(
        Visit(
            address=_address(request.remote_addr),
            user_agent=request.environ.get("HTTP_USER_AGENT", "")[:MAX_USER_AGENT_LENGTH],
            request_id=g.request_id,
            device_token=device_cookie(),
        )
    )


@lru_cache(maxsize=1024)
def _address(text: str | None) -> str | None:
    """Return the client's IP address as reported by the server or proxies, if valid."""
    try:
        return str(ip_address(text or ""))
    except ValueError:
        return None


def _load(request: Request) -> Principal | None:
    credential = _by_header(request) if has_explicit_credential() else _by_some_cookie()
    if not isinstance(credential, Found) and has_explicit_credential():
        _log_refused_credential(request.headers["Authorization"])
    if isinstance(credential, Expired):
        _expire(credential)
        return None
    if credential is None:
        return None
    g.origin = Origin(visit(), credential.principal)
    # Only on views that allow it: elsewhere the header would hide the use of a session or key.
    if "HTTP_X_BACKGROUND" in request.environ and view_property("refreshes_itself"):
        return credential.principal
    _note_use(credential)
    return credential.principal


def _log_refused_credential(header: str) -> None:
    """Log a refused credential, with only the visible part of an API key."""
    credential = header.partition(" ")[2]
    kind = _kind_of(credential)
    if kind is not None and kind.is_valid(credential):
        log_refused(kind.kind, key_prefix=kind.shown_part(credential))
    else:
        log_refused("access_token")


def _kind_of(credential: str) -> CredentialKind | None:
    """Return what a feature knows about this bearer token; None for an access token."""
    return next((kind for kind in features().credentials if credential.startswith(kind.prefix)), None)


def log_refused(kind: str, **more: str) -> None:
    """Log that a credential of this kind was refused (OWASP ASVS 5.0, 16.3.1)."""
    log.warning("a credential was refused", extra={"kind": kind, **more})


# Mark a page that htmx refreshes: an open tab must not keep its session alive.
refreshes_itself = mark_view(refreshes_itself=True)


def has_explicit_credential() -> bool:
    """Return whether the request has an Authorization header; cookies are then ignored."""
    return "HTTP_AUTHORIZATION" in request.environ and is_api()


def is_api() -> bool:
    """Return whether the response is JSON: the path decides, never the Accept header."""
    return request.path.startswith("/api/") and request.path != "/api/docs"


def _by_some_cookie() -> Found | Expired | None:
    """Return the credential of a cookie. Forward-auth requests prefer the shared cookie; our own pages use the session
    cookie.
    """
    forward = _by_forward_cookie()
    return forward if isinstance(forward, Found) else _by_cookie() or forward


def _by_cookie() -> Found | Expired | None:
    token = session.get(TOKEN)
    if not isinstance(token, str):
        return None
    credential = _acting(find_by_cookie(one_read(), token, at=now()))
    if isinstance(credential, Found):
        g.came_with = (token, credential.principal)
    else:
        session.pop(TOKEN, None)
    return credential


def _acting(credential: Found | Expired | None) -> Found | Expired | None:
    """Return the credential with the principal of the impersonated user, if there is one."""
    act_as = features().act_as
    if isinstance(credential, Found) and credential.acts_as is not None and act_as is not None:
        return act_as(one_read(), credential, now())
    return credential


def _by_forward_cookie() -> Found | Expired | None:
    """Return the principal of the app cookie, which is valid for forward authentication only."""
    value = request.cookies.get(forward_cookie_name()) if view_property("is_for_other_apps") else None
    if not value:
        return None
    try:
        session_id, user_id = forward_signer().loads(value)
    except (BadData, TypeError, ValueError):
        return None
    access = Access(user_id=user_id, session_id=session_id)
    return _acting(find_by_access_token(one_read(), access, at=now()))


def _by_header(request: Request) -> Found | Expired | None:
    """Return the principal of `Authorization: Bearer ...` (RFC 6750): an API key or an access token."""
    scheme, _, credential = request.headers["Authorization"].partition(" ")
    if scheme.lower() != "bearer":
        return None
    if (kind := _kind_of(credential)) is not None:
        return kind.find(one_read(), credential, now()) if kind.is_valid(credential) else None
    try:
        access = read_token(credential, secret_keys=settings().signing_keys, issuer=settings().public_url, at=now())
    except BadToken:
        return None
    return find_by_access_token(one_read(), access, at=now())


def _expire(expired: Expired) -> None:
    try:
        with unit_of_work() as work:
            if expired.session_id:
                work.sessions.expire(expired.session_id)
            else:
                for kind in features().credentials:
                    kind.expire(work, expired.key_id)
    except DATABASE_AWAY:
        db.session.rollback()  # It is refused in any case; the next request writes it.


def _note_use(credential: Found) -> None:
    """Record the use at most every five minutes: buffered for a job, or written here if that is unavailable or late."""
    at = now()
    if credential.is_noted(at, after=NOTE_AFTER_SECONDS):
        return
    use = Use.of(credential.principal, at)
    if credential.is_noted(at, after=WRITE_AFTER_SECONDS) and cache.collect("uses", use.key(), use.at.isoformat()):
        return
    try:
        with unit_of_work() as work:
            work.last_seen.record([use])
    except DATABASE_AWAY:
        # If the database is too busy for this write, the page can still be shown.
        db.session.rollback()


def renew_token(response: Response) -> None:
    """Replace the session's token if its privileges have changed since its last request.

    Not if the response can't set the cookie: forward-auth requests, and responses that shared caches store.
    """
    token, who = g.get("came_with", ("", None))
    if who is None or session.get(TOKEN) != token or view_property("is_for_other_apps") or is_shared(response):
        return
    privileges = _privileges(who.permissions, who.impersonator_id)
    if session.get(PRIVILEGES, privileges) != privileges:
        try:
            with unit_of_work() as work:
                renewed = work.sessions.renew_token(who.session_id, token)
        except DATABASE_AWAY:
            db.session.rollback()  # The next request does it.
            return
        if renewed is None:
            return
        session[TOKEN] = renewed
    if PRIVILEGES not in session or session[TOKEN] != token:
        session[PRIVILEGES] = privileges


@lru_cache(maxsize=512)
def _privileges(permissions: frozenset[str], impersonator_id: int | None) -> str:
    return token_hash(f"{impersonator_id} {sorted(permissions)}")[:12]
