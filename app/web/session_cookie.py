"""The session cookie and the other cookies of a browser."""

import hashlib
import re
from functools import lru_cache
from typing import Any

from flask import Flask, Request, Response, g, request, session
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionMixin
from itsdangerous import URLSafeSerializer, URLSafeTimedSerializer

from app.auth.services.sign_in import SignedIn
from app.core.extensions import settings
from app.core.remembered import Remembered

TOKEN = "sid"
LINK = "link:"  # The prefix of the entries with tokens of opened one-time links (`app/web/redirects.py`).
CHALLENGE = "challenge:"  # The prefix of the entries of `app/auth/challenges.py`.
PENDING = "pending"  # The entry with an identity to be connected (`app/oauth/pending.py`).
MAX_COOKIE_BYTES = 3800  # Bytes. Browsers drop a cookie of more than 4,096, its name included.
THEMES = ("light", "dark")
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
        if is_shared(response):
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


def is_shared(response: Response) -> bool:
    return response.headers.get("Cache-Control", "").startswith("public")


def _named(session: SessionMixin, *prefixes: str) -> list[str]:
    return [name for name in session if name.startswith(prefixes)]


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


def drop_session() -> None:
    session.clear()
    if forward_cookie_name() in request.cookies:
        _set_forward("", max_age=0)


def device_cookie() -> str | None:
    value = request.cookies.get(settings().cookie_name("device"))
    return value if value and _DEVICE_TOKEN.fullmatch(value) else None


def keep_device(token: str) -> None:
    set_cookie(settings().cookie_name("device"), token, max_age=DEVICE_COOKIE_SECONDS)


def theme() -> str:
    """Return the color scheme chosen in this browser: `light`, `dark`, or an empty string for that of the system."""
    theme_name = request.cookies.get(settings().cookie_name("theme"), "")
    return theme_name if theme_name in THEMES else ""


def keep_theme(theme_name: str) -> None:
    """Store the color scheme; anything but `light` and `dark` means that of the system."""
    age = DEVICE_COOKIE_SECONDS if theme_name in THEMES else 0
    set_cookie(settings().cookie_name("theme"), theme_name if age else "", max_age=age)


def keep_method(method: str) -> None:
    """Remember the sign-in method of this browser, for a hint on the sign-in page."""
    set_cookie(settings().cookie_name("method"), method, max_age=DEVICE_COOKIE_SECONDS)


def last_method() -> str:
    return request.cookies.get(settings().cookie_name("method"), "")


def forward_cookie_name() -> str:
    if not settings().is_https:
        return "forward"
    return "__Secure-forward" if settings().cookie_domain else "__Host-forward"


def keep_forward(user_id: int, session_id: int) -> None:
    """Set the app cookie, if there are other apps: it names the session and ends with it."""
    if settings().return_hosts:
        _set_forward(forward_signer().dumps([session_id, user_id]))


def _set_forward(value: str, *, max_age: int | None = None) -> None:
    set_cookie(forward_cookie_name(), value, path="/", max_age=max_age, domain=settings().cookie_domain or None)


def forward_signer() -> URLSafeSerializer:
    return URLSafeSerializer([*reversed(settings().signing_keys)], salt="forward")


def set_cookie(name: str, value: str, *, path: str = "", **how: Any) -> None:
    """Set a cookie with this response, for this application unless `path` is another; scripts can't read it, and other
    sites don't send it.
    """
    g.setdefault("cookies", []).append((name, value, {"path": path or settings().path_prefix or "/", **how}))


def set_cookies(response: Response) -> None:
    """Set the cookies that were requested during the request, besides Flask's session cookie."""
    for name, value, how in g.get("cookies", ()):
        response.set_cookie(name, value, secure=settings().is_https, httponly=True, samesite="Lax", **how)
