"""Ask a running site whether it serves as it should: `python3 ops/smoke.py https://accounts.example.com [--wait 60]`.

Needs nothing but Python. It changes nothing; with SMOKE_EMAIL and SMOKE_PASSWORD in the environment it also signs that
account in and out through the API. A private certificate is trusted through SSL_CERT_FILE. Exit code 1 if a check
failed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urljoin, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

LOCAL = {"127.0.0.1", "::1", "localhost"}


class Failed(Exception):
    """A check that failed, and what to look at."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Message
    text: str

    def json(self) -> Any:
        try:
            return json.loads(self.text)
        except ValueError:
            raise Failed(f"the answer is not JSON but: {self.text[:80]!r}; is it another program's?") from None


class _Stay(HTTPRedirectHandler):
    def redirect_request(self, *request: Any) -> None:
        return None


class Site:
    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.parts = urlsplit(self.url)
        self._opener = build_opener(_Stay)

    def ask(self, path: str, *, method: str = "GET", data: bytes | None = None, **headers: str) -> Answer:
        url = path if "://" in path else self.url + path
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            with self._opener.open(Request(url, data, headers, method=method), timeout=15) as answer:
                return Answer(answer.status, answer.headers, answer.read().decode(errors="replace"))
        except HTTPError as refused:
            return Answer(refused.code, refused.headers, refused.read().decode(errors="replace"))
        except (OSError, HTTPException) as problem:
            raise Failed(f"{url} does not answer: {getattr(problem, 'reason', problem)}") from None

    def call(self, path: str, body: dict[str, str], **headers: str) -> Answer:
        data = json.dumps(body).encode()
        return self.ask(f"/api/v1{path}", method="POST", data=data, Content_Type="application/json", **headers)


def expect(is_so: object, otherwise: str) -> None:
    if not is_so:
        raise Failed(otherwise)


# ── the checks ──


def process(site: Site) -> None:
    """The process lives"""
    answer = site.ask("/healthz")
    expect(answer.status == 200, f"/healthz answers {answer.status}; is the web running, and the proxy sent to it?")
    expect(answer.json().get("status") == "ok", f"/healthz says {answer.text.strip()}")
    expect(answer.headers.get("X-Request-ID"), "X-Request-ID is missing; does a proxy remove headers?")


def parts(site: Site) -> None:
    """Database, migrations and queue are there"""
    answer = site.ask("/readyz")
    expect(answer.json().get("status") == "ok", f"/readyz says {answer.text.strip()}; run `flask doctor` on the server")


def sign_in_page(site: Site) -> None:
    """The sign-in page is safe"""
    answer = site.ask("/auth/login")
    expect(answer.status == 200, f"/auth/login answers {answer.status}")
    expect('name="csrf_token"' in answer.text, "the page has no form with a CSRF token")
    expected = {"Content-Security-Policy": "frame-ancestors 'none'", "X-Content-Type-Options": "nosniff"}
    expected |= {"Cache-Control": "no-store"}
    if site.parts.scheme == "https":
        expected |= {"Strict-Transport-Security": "max-age="}
    for name, part in expected.items():
        values = answer.headers.get_all(name, [])
        expect(len(values) == 1 and part in values[0], f"{name} is {values}; let the proxy pass on what comes")
    for cookie in answer.headers.get_all("Set-Cookie", []):
        expect(
            "HttpOnly" in cookie and "SameSite=" in cookie, f"a cookie without HttpOnly or SameSite: {_name(cookie)}"
        )
        is_safe = site.parts.scheme != "https" or "Secure" in cookie
        expect(is_safe, f"a cookie without Secure: {_name(cookie)}; is BASE_URL https, and TRUSTED_PROXIES right?")


def _name(cookie: str) -> str:
    return cookie.partition("=")[0]


def stylesheets(site: Site) -> None:
    """Stylesheets arrive, and browsers keep them"""
    links = re.findall(r'<link rel="stylesheet" href="([^"]+)"', site.ask("/auth/login").text)
    expect(links, "the sign-in page names no stylesheet")
    for path in links:
        answer = site.ask(urljoin(site.url + "/", path))
        expect(answer.status == 200, f"{path} answers {answer.status}")
        kept = "public" in answer.headers.get("Cache-Control", "")
        expect(kept, f"{path} is not kept: Cache-Control is {answer.headers.get('Cache-Control')}")


def private(site: Site) -> None:
    """Nothing private is shown to a stranger"""
    page = site.ask("/account")
    expect(page.status in {302, 303}, f"/account answers {page.status} and not a redirect to the sign-in page")
    api = site.ask("/api/v1/users/me")
    expect(
        api.status == 401 and api.json().get("errors"), f"/api/v1/users/me answers {api.status} and not 401 with errors"
    )
    other = site.ask("/auth/login", method="POST", data=b"email=a", Origin="https://other.example")
    expect(400 <= other.status < 500, f"a form sent by another site is answered with {other.status}")
    if site.parts.hostname not in LOCAL:
        status = site.ask("/metrics").status
        expect(status in {401, 403, 404}, f"/metrics is public ({status}). Set METRICS_TOKEN")


def address(site: Site) -> None:
    """The site knows its own address"""
    match = re.search(
        r"^Canonical: (\S+)/\.well-known/security\.txt$", site.ask("/.well-known/security.txt").text, re.MULTILINE
    )
    expect(match, "security.txt names no address")
    own = match[1] if match else ""
    expect(own.rstrip("/") == site.url, f"links in mails lead to {own}, and this is {site.url}; set BASE_URL")


def keys(site: Site) -> None:
    """The keys of access tokens are published"""
    expect(site.ask("/.well-known/jwks.json").json().get("keys"), "jwks.json has no keys")


def plain_http(site: Site) -> None:
    """Plain HTTP leads to HTTPS"""
    try:
        answer = site.ask(f"http://{site.parts.hostname}/auth/login")
    except Failed:
        return  # Port 80 is closed, which is as good.
    leads = answer.headers.get("Location", "").startswith("https://")
    expect(leads, f"http://{site.parts.hostname} answers {answer.status} and does not lead to https")


def account(site: Site) -> None:
    """An account signs in and out"""
    answer = site.call("/auth/login", {"email": os.environ["SMOKE_EMAIL"], "password": os.environ["SMOKE_PASSWORD"]})
    expect(answer.status == 200, f"signing in is answered with {answer.status}: {_reason(answer)}")
    bearer = f"Bearer {answer.json()['data']['access_token']}"
    expect(site.ask("/api/v1/users/me", Authorization=bearer).status == 200, "the access token is refused")
    expect(site.call("/auth/logout", {}, Authorization=bearer).status in {200, 204}, "signing out is refused")
    expect(
        site.ask("/api/v1/users/me", Authorization=bearer).status == 401, "after signing out the token is still good"
    )


def _reason(answer: Answer) -> str:
    errors = answer.json().get("errors") or [{}]
    return str(errors[0].get("detail") or errors[0].get("message") or errors[0].get("code"))


def checks(site: Site) -> Iterator[Callable[[Site], None]]:
    yield from (process, parts, sign_in_page, stylesheets, private, address, keys)
    if site.parts.scheme == "https" and site.parts.port in {None, 443}:
        yield plain_http
    if os.environ.get("SMOKE_EMAIL"):
        yield account


def wait(site: Site, seconds: float) -> None:
    """Until the process answers, or so many seconds are over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            return process(site)
        except Failed:
            time.sleep(1)
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[2], prog="smoke.py")
    parser.add_argument("url", help="where the site is, as people type it: BASE_URL")
    parser.add_argument("--wait", type=float, default=0, metavar="SECONDS", help="let a site that starts take so long")
    options = parser.parse_args()
    site = Site(options.url)
    if site.parts.scheme not in {"http", "https"} or not site.parts.hostname:
        parser.error("the address begins with https:// or http://")
    wait(site, options.wait)
    failed = 0
    for check in checks(site):
        try:
            check(site)
            print(f"ok      {check.__doc__}")
        except Failed as problem:
            failed += 1
            print(f"FAILED  {check.__doc__}: {problem}")
            if check is process:
                break
    print(f"{failed} of the checks failed." if failed else f"{site.url} serves as it should.")
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
