"""A test client for one user: keeps cookies, follows no redirects, and checks every page."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from flask import Flask
from werkzeug.test import TestResponse

from app.settings import Settings
from tests.support.pages import Page, complaints

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.0 Mobile/15E148 Safari/604.1"
)
ALWAYS_HAS_A_FORM = "/auth/forgot-password"


class Browser:
    """`get` and `post` take paths (or whole links of this site); `post` fetches the page's token first."""

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
        """Fill in the form of `page` (the same path unless it is another) and send it to `path`."""
        return self.send("POST", path, data={"csrf_token": self.token(page or path), **(data or {})}, **how)

    def send(self, method: str, path: str, **how: Any) -> TestResponse:
        """Any request, exactly as given."""
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
        """The page at `path`, which must exist."""
        response = self.get(path, **how)
        assert response.status_code == 200, f"{path}: {response.status_code}"
        return Page(response.text)

    def token(self, path: str = ALWAYS_HAS_A_FORM) -> str:
        """The CSRF token of this browser, from the form at `path` or, where that shows none, from another page."""
        for each in (path, ALWAYS_HAS_A_FORM):
            response = self.get(each)
            found = re.search(
                r'name="csrf_token" value="([^"]+)"', response.text if response.status_code == 200 else ""
            )
            if found:
                return found.group(1)
        raise AssertionError("no page with a form")

    def cookies(self) -> list[Any]:
        return list(self.http._cookies.values())

    def cookie(self, name: str) -> Any:
        """A cookie by its plain name, whatever its prefix; None when this browser has none."""
        for each in self.cookies():
            if each.key.removeprefix("__Host-") == name:
                return each
        return None

    # ── what people do ──

    def register(self, email: str, password: str = "a quieter harbour", name: str = "Ada") -> TestResponse:
        return self.post("/auth/register", {"email": email, "password": password, "name": name})

    def login(self, who: Any, password: str | None = None, **more: Any) -> TestResponse:
        """`who` is a person (whose password is known) or an address."""
        email = getattr(who, "email", who)
        return self.post("/auth/login", {"email": email, "password": password or who.password, **more})

    def logout(self) -> TestResponse:
        return self.post("/auth/logout", page=ALWAYS_HAS_A_FORM)

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
        """Open a one-time link and press the button of its page; for an invalid link, returns its answer."""
        opened = self.get(link)
        return self.post(opened.location, data) if opened.status_code == 303 else opened

    def is_signed_in(self) -> bool:
        return self.get("/account").status_code == 200


REDIRECTS = {301, 302, 303, 307, 308}
CSRF_TOKEN = re.compile(r'(name="csrf_token" value=")[^"]+')

_good: set[str] = set()


def look_at(html: str, where: str) -> None:
    """Check what every page has to fulfil; a page that passed before is not checked again."""
    known = CSRF_TOKEN.sub(r"\1token", html)
    if known not in _good:
        found = complaints(Page(html))
        assert not found, f"{where}: {found}"
        _good.add(known)


def _path(link: str) -> str:
    parts = urlsplit(link)
    return f"{parts.path}?{parts.query}" if parts.scheme and parts.query else parts.path if parts.scheme else link


def _policy(response: TestResponse) -> str:
    return response.headers.get("Content-Security-Policy", "")
