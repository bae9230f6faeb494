"""Identity: every kind of credential becomes one Principal, loaded once per request and never cached."""

from __future__ import annotations

import hashlib
import logging
import re
from dataclasses import astuple, dataclass, replace
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, cast

from flask import Flask, Request, Response, g, request, session
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionMixin
from flask_login import current_user
from itsdangerous import BadData, URLSafeSerializer, URLSafeTimedSerializer

from app.cache import cache
from app.extensions import DATABASE_AWAY, db, login_manager, now, one_read, settings
from app.principal import Principal, Visit
from app.remembered import Remembered
from app.security.access_tokens import Access, BadToken, read_token
from app.security.api_keys import PREFIX, is_api_key, shown_part
from app.security.tokens import new_token, token_hash
from app.services.audit import Origin
from app.services.connections import Identity
from app.services.last_seen import NOTE_AFTER_SECONDS, WRITE_AFTER_SECONDS, Use
from app.services.sessions import Expired, Found, find_by_access_token, find_by_api_key, find_by_cookie
from app.services.sign_in import SignedIn
from app.unit_of_work import unit_of_work
from app.web.views import View, mark_view, view_property

log = logging.getLogger(__name__)

TOKEN = "sid"
PRIVILEGES = "may"  # A hash of the session's privileges at its last request.
LINK = "link:"  # The prefix of the entries with tokens of opened one-time links (`app/web/redirects.py`).
CHALLENGE = "challenge:"  # The prefix of the entries of `app/web/challenges.py`.
MAX_COOKIE_BYTES = 3800  # Bytes. Browsers drop a cookie of more than 4,096, its name included.
HALF = "half"
HALF_SECONDS = 10 * 60
PENDING = "pending"
PENDING_SECONDS = 15 * 60
PENDING_PARTS = 7
MAX_NAME_STORED = 60
_DEVICE_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
DEVICE_COOKIE_SECONDS = 400 * 24 * 3600  # The longest that browsers keep a cookie (RFC 6265bis).


class CookieSession(SecureCookieSessionInterface):
    """Flask's own, with its signer created once: Flask creates one for each read and write."""

    def __init__(self) -> None:
        self._verified: Remembered[dict[str, Any]] = Remembered()

    @lru_cache  # noqa: B019 - there is one of it, and it lives as long as the application
    def get_signing_serializer(self, app: Flask) -> URLSafeTimedSerializer | None:
        return super().get_signing_serializer(app)

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """Open the session like Flask; contents of verified cookies are remembered by digest."""
        value = request.cookies.get(self.get_cookie_name(app), "")
        digest = hashlib.sha256(value.encode(errors="replace")).digest()
        content = self._verified.find(digest)
        if content is not None:
            return self.session_class(content)
        session = super().open_session(app, request)
        # Not with a list, which a request could change in place.
        if session and all(isinstance(value, str | int) for value in session.values()):
            self._verified.keep(digest, dict(session))
        return session

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Save the session, unless shared caches store the response: it neither depends on a cookie nor sets one."""
        if _is_shared(response):
            return
        if session.modified:
            self._prune(app, session)
        super().save_session(app, session, response)

    def _prune(self, app: Flask, session: SessionMixin) -> None:
        """Drop the least needed entries while the cookie is too large, because browsers would drop all of it.

        The entries of a sign-in are never dropped.
        """
        signer = self.get_signing_serializer(app)
        steps = (
            *((name, 1) for name in _named(session, CHALLENGE, LINK)),
            ("_flashes", 1),
            *((name, 0) for name in (PENDING, *_named(session, CHALLENGE, LINK), "_flashes")),
        )
        for name, kept in steps if any(name in session for name, _ in steps) else ():
            if signer is None or len(signer.dumps(dict(session))) <= MAX_COOKIE_BYTES:
                return
            if name in session:
                session[name] = session[name][-kept:] if kept else []


def _is_shared(response: Response) -> bool:
    return response.headers.get("Cache-Control", "").startswith("public")


def _named(session: SessionMixin, *prefixes: str) -> list[str]:
    return [name for name in session if name.startswith(prefixes)]


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


def device_cookie_name() -> str:
    return settings().cookie_name("device")


def note_visit() -> None:
    """Store the origin of the request for the audit log and throttles."""
    g.origin = Origin(
        Visit(
            address=_address(request.remote_addr),
            user_agent=request.environ.get("HTTP_USER_AGENT", "")[:500],
            request_id=g.request_id,
            device_token=_device_cookie(),
        )
    )


def _device_cookie() -> str | None:
    value = request.cookies.get(device_cookie_name())
    return value if value and _DEVICE_TOKEN.fullmatch(value) else None


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
    if is_api_key(credential):
        log_refused("api_key", key_prefix=shown_part(credential))
    else:
        log_refused("access_token")


def log_refused(kind: str, **more: str) -> None:
    """Log that a credential of this kind was refused (OWASP ASVS 5.0, 16.3.1)."""
    log.warning("a credential was refused", extra={"kind": kind, **more})


def refreshes_itself(view: View) -> View:
    """Mark a page that htmx refreshes: an open tab must not keep its session alive."""
    return mark_view(refreshes_itself=True)(view)


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
    credential = find_by_cookie(one_read(), token, at=now())
    if isinstance(credential, Found):
        g.came_with = (token, credential.principal)
    else:
        session.pop(TOKEN, None)
    return credential


def _by_forward_cookie() -> Found | Expired | None:
    """Return the principal of the app cookie, which is valid for forward authentication only."""
    value = request.cookies.get(forward_cookie_name()) if view_property("is_for_other_apps") else None
    if not value:
        return None
    try:
        session_id, user_id = _forward_signer().loads(value)
    except (BadData, TypeError, ValueError):
        return None
    access = Access(user_id=user_id, session_id=session_id)
    return find_by_access_token(one_read(), access, at=now(), acts=True)


def _by_header(request: Request) -> Found | Expired | None:
    """Return the principal of `Authorization: Bearer ...` (RFC 6750): an API key or an access token."""
    scheme, _, credential = request.headers["Authorization"].partition(" ")
    if scheme.lower() != "bearer":
        return None
    if credential.startswith(PREFIX):
        if not is_api_key(credential):
            return None
        return find_by_api_key(one_read(), credential, at=now())
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
                work.api_keys.expire(expired.key_id)
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
            work.last_seen.note([use])
    except DATABASE_AWAY:
        # If the database is too busy for this write, the page can still be shown.
        db.session.rollback()


def renew_token(response: Response) -> None:
    """Replace the session's token if its privileges have changed since its last request.

    Not if the response can't set the cookie: forward-auth requests, and responses that shared caches store.
    """
    token, who = g.get("came_with", ("", None))
    if who is None or session.get(TOKEN) != token or view_property("is_for_other_apps") or _is_shared(response):
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


# ── an identity that a provider has confirmed in this browser, until it is connected ──


def keep_pending(oauth_identity: Identity) -> str:
    """Store an identity to be connected; return a handle for the next page's URL (see `bind_pending`)."""
    handle = new_token()[:22]
    identity = astuple(replace(oauth_identity, name=oauth_identity.name[:MAX_NAME_STORED]))
    session[PENDING] = [*identity, handle, int(now().timestamp())]
    return handle


def pending() -> Identity | None:
    """Return the identity proved in this browser in the last fifteen minutes and not connected yet."""
    kept = session.get(PENDING)
    if not isinstance(kept, list) or len(kept) != PENDING_PARTS or now().timestamp() - kept[-1] > PENDING_SECONDS:
        return None
    return Identity(*kept[:-2])


def bind_pending(target: str | None) -> None:
    """At sign-in, keep the pending identity only if the sign-in started where it was proved and leads to where it is
    connected.

    In a shared browser, someone else may have left it.
    """
    kept = session.get(PENDING)
    if kept is not None and (len(kept) != PENDING_PARTS or kept[-2] not in (target or "")):
        drop_pending()


def drop_pending() -> None:
    session.pop(PENDING, None)


# ── a sign-in that waits for its second factor ──


@dataclass(frozen=True, slots=True)
class PendingSecondFactor:
    """A sign-in that waits for its second factor. `proof` is valid until the password changes; `method` is the first
    factor.
    """

    user_id: int
    proof: str
    method: str
    remember: bool

    @property
    def handle(self) -> str:
        """Return a value that ties a form to this state: another tab may have started to sign in to another account."""
        return token_hash(self.proof)[:32]


def keep_pending_second_factor(pending: PendingSecondFactor) -> None:
    session[HALF] = [*astuple(pending), int(now().timestamp())]


def pending_second_factor() -> PendingSecondFactor | None:
    """Return the sign-in that was started in this browser within the last ten minutes, or None."""
    kept = session.get(HALF)
    if not isinstance(kept, list) or now().timestamp() - kept[-1] > HALF_SECONDS:
        return None
    return PendingSecondFactor(*kept[:4])  # Earlier releases kept more.


# ── cookies ──


def keep_session(signed_in: SignedIn, *, remember: bool) -> None:
    """Store the session's token in a cleared cookie, against session fixation.

    Opened links stay, because their forms may be open in other tabs. A pending identity stays too, because its owner
    connects it after signing in.
    """
    kept = {name: value for name, value in session.items() if name.startswith(LINK) or name == PENDING}
    session.clear()
    session.update(kept)
    session[TOKEN] = signed_in.token
    session.permanent = remember
    keep_device(signed_in.device_token or "")
    keep_forward(signed_in.user_id, signed_in.session_id)


def keep_token(token: str) -> None:
    """Replace the token after a confirmation; the rest of the cookie stays."""
    session[TOKEN] = token
    session.pop("csrf_token", None)
    g.pop("csrf_token", None)


def method_cookie_name() -> str:
    return settings().cookie_name("method")


def keep_method(method: str) -> None:
    """Remember the sign-in method of this browser, for a hint on the sign-in page."""
    set_cookie(method_cookie_name(), method, max_age=DEVICE_COOKIE_SECONDS, path=settings().path_prefix or "/")


def last_method() -> str:
    return request.cookies.get(method_cookie_name(), "")


def drop_session() -> None:
    session.clear()
    if forward_cookie_name() in request.cookies:
        _set_forward("", max_age=0)


def forward_cookie_name() -> str:
    if not settings().is_https:
        return "forward"
    return "__Secure-forward" if settings().cookie_domain else "__Host-forward"


def keep_forward(user_id: int, session_id: int) -> None:
    """Set the app cookie, if there are other apps: it names the session and ends with it."""
    if settings().return_hosts:
        _set_forward(_forward_signer().dumps([session_id, user_id]))


def _set_forward(value: str, *, max_age: int | None = None) -> None:
    set_cookie(forward_cookie_name(), value, max_age=max_age, domain=settings().cookie_domain or None)


def _forward_signer() -> URLSafeSerializer:
    return URLSafeSerializer([*reversed(settings().signing_keys)], salt="forward")


def keep_device(token: str) -> None:
    path = settings().path_prefix or "/"
    set_cookie(device_cookie_name(), token, max_age=DEVICE_COOKIE_SECONDS, path=path)


def set_cookie(name: str, value: str, **how: Any) -> None:
    """Set a cookie with this response, which scripts can't read and other sites don't send."""
    g.setdefault("cookies", []).append((name, value, how))


def set_cookies(response: Response) -> None:
    """Set the cookies that were requested during the request, besides Flask's session cookie."""
    for name, value, how in g.get("cookies", ()):
        response.set_cookie(name, value, secure=settings().is_https, httponly=True, samesite="Lax", **how)
