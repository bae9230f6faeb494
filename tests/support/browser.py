"""A test client for one user: keeps cookies, follows no redirects, and checks every page."""

from __future__ import annotations

import hashlib
import os
import re
from typing import Any
from urllib.parse import urlsplit

from flask import Flask
from itsdangerous import URLSafeTimedSerializer
from sqlalchemy import update
from werkzeug.test import TestResponse

from app.core.principal import Origin, Visit
from app.settings import Settings
from app.unit_of_work import unit_of_work
from app.users.models import User
from app.web.session_cookie import TOKEN
from tests.support.deleted import needs_for
from tests.support.pages import Page, attributes, complaints

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.0 Mobile/15E148 Safari/604.1"
)


class Browser:
    """`get` and `post` take paths (or links of this site); `post` adds the CSRF token, as a page's form does."""

    def __init__(
        self, app: Flask, *, user_agent: str = FIREFOX, address: str = "203.0.113.7", base_url: str = ""
    ) -> None:
        settings: Settings = app.extensions["settings"]
        self.app = app
        self.http = app.test_client()
        self.user_agent = user_agent
        self.address = address
        self._base_url = base_url or settings.public_url

    # ── pages ──

    def get(self, path: str, **how: Any) -> TestResponse:
        return self.send("GET", path, **how)

    def post(
        self, path: str, data: dict[str, Any] | None = None, *, page: str | None = None, **how: Any
    ) -> TestResponse:
        """Send a form to `path`. With `page`, fetch that page first and take the CSRF token from its form."""
        token = self.token_on(page) if page else self.token()
        return self.send("POST", path, data={"csrf_token": token, **(data or {})}, **how)

    def send(self, method: str, path: str, **how: Any) -> TestResponse:
        """Send any request, exactly as given."""
        needs_for(f"{method} {_path(path)}")
        headers = {"User-Agent": self.user_agent, **how.pop("headers", {})}
        environ = {"REMOTE_ADDR": self.address, **how.pop("environ_overrides", {})}
        how.setdefault("base_url", self._base_url)
        how.setdefault("buffered", True)
        response = self.http.open(
            _path(path), method=method, headers=headers, environ_overrides=environ, follow_redirects=False, **how
        )
        is_page = response.mimetype == "text/html" and response.data and response.status_code not in REDIRECTS
        if is_page and "sandbox" not in _policy(response):
            look_at(response.text, f"{method} {path} ({response.status_code})")
        return response

    def page(self, path: str, **how: Any) -> Page:
        """Return the page at `path`, which must exist."""
        response = self.get(path, **how)
        assert response.status_code == 200, f"{path}: {response.status_code}"
        return Page(response.text)

    def token(self) -> str:
        """Sign a CSRF token for this browser's session, as Flask-WTF does for a form."""
        with self.http.session_transaction(base_url=self._base_url) as session:
            secret = session.setdefault("csrf_token", hashlib.sha1(os.urandom(64)).hexdigest())  # noqa: S324 - as there.
        return str(URLSafeTimedSerializer(self.app.secret_key or "", salt="wtf-csrf-token").dumps(secret))

    def token_on(self, path: str) -> str:
        """Return the CSRF token in the form at `path`."""
        return attributes(self.page(path).find('input[name="csrf_token"]'))["value"]

    def cookies(self) -> list[Any]:
        return list(self.http._cookies.values())

    def cookie(self, name: str) -> Any:
        """Return a cookie by its name without a prefix; None if there is none."""
        for cookie in self.cookies():
            if cookie.key.removeprefix("__Host-") == name:
                return cookie
        return None

    # ── actions ──

    def sign_in(self, person: Any) -> None:
        """Sign in without the form: write the session's row and put its token into this browser's cookie."""
        visit = Visit(address=self.address, user_agent=self.user_agent)
        with self.app.app_context(), unit_of_work(origin=Origin(visit, entry_point="test")) as work:
            _, token = work.sessions.start(person.id, visit=visit, remember=False)
            work.session.execute(update(User).where(User.id == person.id).values(last_seen_at=work.clock()))
        self.use_token(token)

    def use_token(self, token: str) -> None:
        """Replace the cookie by one with this session token only."""
        with self.http.session_transaction(base_url=self._base_url) as session:
            session.clear()
            session[TOKEN] = token

    def session_token(self) -> str:
        """Return the token in this browser's cookie; empty if signed out."""
        with self.http.session_transaction(base_url=self._base_url) as session:
            return str(session.get(TOKEN, ""))

    def register(self, email: str, password: str = "a quieter harbour", name: str = "Ada") -> TestResponse:
        return self.post("/auth/register", {"email": email, "password": password, "name": name})

    def login(self, who: Any, password: str | None = None, **more: Any) -> TestResponse:
        """Sign in as a user (whose password is known) or with an address."""
        email = getattr(who, "email", who)
        return self.post("/auth/login", {"email": email, "password": password or who.password, **more})

    def logout(self) -> TestResponse:
        return self.post("/auth/logout")

    def confirm(self, password: str) -> TestResponse:
        return self.post("/auth/confirm", {"password": password})

    def resend_verification(self, email: str) -> TestResponse:
        return self.post("/auth/resend-verification", {"email": email})

    def forgot_password(self, email: str) -> TestResponse:
        return self.post("/auth/forgot-password", {"email": email})

    def reset_password(self, link: str, password: str) -> TestResponse:
        return self.open_and_send(link, {"password": password})

    def verify_email(self, link: str, password: str | None = None) -> TestResponse:
        return self.open_and_send(link, {"password": password} if password else {})

    def open_and_send(self, link: str, data: dict[str, Any] | None = None) -> TestResponse:
        """Open a one-time link and press its page's button; for an invalid link, return its response."""
        opened = self.get(link)
        return self.post(opened.location, data, page=opened.location) if opened.status_code == 303 else opened

    def is_signed_in(self) -> bool:
        return self.get("/account").status_code == 200


REDIRECTS = {301, 302, 303, 307, 308}
CSRF_TOKEN = re.compile(r'(name="csrf_token" value=")[^"]+')
NUMBER_IN_TEXT = re.compile(r"\d+(?=[^<>]*<)")

_good: set[str] = set()


def look_at(html: str, where: str) -> None:
    """Check the page, unless one that differs only in its CSRF token, times and counts was checked before."""
    normalized = NUMBER_IN_TEXT.sub("0", CSRF_TOKEN.sub(r"\1token", html))
    if normalized not in _good:
        problems = complaints(Page(html))
        assert not problems, f"{where}: {problems}"
        _good.add(normalized)


def _path(link: str) -> str:
    parts = urlsplit(link)
    return f"{parts.path}?{parts.query}" if parts.scheme and parts.query else parts.path if parts.scheme else link


def _policy(response: TestResponse) -> str:
    return response.headers.get("Content-Security-Policy", "")
