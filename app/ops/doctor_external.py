"""Checks of `flask doctor` that request BASE_URL as a browser would, through all proxies."""

import json
import socket
import ssl
from collections.abc import Iterator
from email.message import Message
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPRedirectHandler, Request, build_opener

from app.core import urls
from app.core.settings import CoreSettings
from app.core.tokens import doctor_token

# Causes of an unreachable site, and their fixes.
CAUSES = (
    (socket.gaierror, "the host name has no address; fix BASE_URL or the DNS"),
    (ConnectionRefusedError, "nothing listens there; start the proxy: systemctl start nginx"),
    (ssl.SSLCertVerificationError, "the certificate is not valid; renew it for this host name, with the full chain"),
    (ssl.SSLError, "the server there does not speak TLS that browsers accept"),
)

Wrong = tuple[str, str]
"""What is wrong, and what to do."""


class Unreachable(Exception):
    """BASE_URL can't be reached from this machine. `advice` fixes the cause; empty if the cause is unclear."""

    def __init__(self, problem: BaseException | str) -> None:
        super().__init__(str(problem))
        self.advice = next((advice for kind, advice in CAUSES if isinstance(problem, kind)), "")


class _Stay(HTTPRedirectHandler):
    def redirect_request(self, *request: Any) -> None:
        return None


def looked_at(settings: CoreSettings) -> tuple[str, list[Wrong]]:
    """Return this machine's address as the site sees it, and the problems. Raises Unreachable."""
    status, _, body = _get(
        f"{settings.public_url}/healthz?{urlencode({'doctor': doctor_token(settings.signing_keys)})}"
    )
    try:
        seen = json.loads(body)
    except ValueError:
        seen = {}
    if status == 400:
        return "", [
            ("the host of BASE_URL is not accepted", "configure the proxy to pass it as Host or X-Forwarded-Host")
        ]
    if status in {502, 503, 504} and "status" not in seen:
        advice = "the web server behind it is not running; systemctl start gatehouse-web, and check its log"
        return "", [(f"the proxy answers {status}", advice)]
    if not isinstance(seen, dict) or "address" not in seen:
        advice = "it is a different site, or has a different SECRET_KEY or an older release"
        return "", [(f"the site at BASE_URL ({status}) is not this installation", advice)]
    return str(seen["address"]), [
        *_proxies(settings, seen["proxies"]),
        *_url(settings, seen["url"]),
        *_prefix(settings, seen.get("prefix", False)),
        *_headers(settings),
    ]


def _proxies(settings: CoreSettings, count: int) -> Iterator[Wrong]:
    if count < settings.trusted_proxies:
        what = f"TRUSTED_PROXIES is {settings.trusted_proxies}, but {count} proxies set X-Forwarded-For"
        yield (
            what,
            f"clients can fake their address; make each proxy set the header, or set TRUSTED_PROXIES={count}",
        )
    elif count > settings.trusted_proxies:
        what = f"TRUSTED_PROXIES is {settings.trusted_proxies}, but {count} proxies set X-Forwarded-For"
        yield (
            what,
            f"all clients seem to have the proxy's address and share its rate limits; set TRUSTED_PROXIES={count}",
        )


def _url(settings: CoreSettings, seen: str) -> Iterator[Wrong]:
    expected = urls.origin(settings.public_url)
    if urls.origin(seen) != expected:
        yield (
            f"requests arrive for {urls.origin(seen)}, but BASE_URL is {expected}",
            "configure the proxy to send X-Forwarded-Proto and X-Forwarded-Host, and set TRUSTED_PROXIES",
        )


def _prefix(settings: CoreSettings, arrives: bool) -> Iterator[Wrong]:
    if arrives and not settings.path_prefix:
        yield (
            "X-Forwarded-Prefix is sent and ignored",
            "add the path to BASE_URL, or remove the header in the proxy",
        )


def _headers(settings: CoreSettings) -> Iterator[Wrong]:
    _, headers, _ = _get(f"{settings.public_url}/auth/login")
    if settings.is_https and len(headers.get_all("Strict-Transport-Security", [])) != 1:
        yield (
            "Strict-Transport-Security is not sent exactly once",
            "configure the proxy to pass ours, and not to add its own",
        )
    for cookie in headers.get_all("Set-Cookie", []):
        flags = {flag.strip().lower() for flag in cookie.split(";")}
        if "httponly" not in flags or (settings.is_https and "secure" not in flags):
            yield (
                f"the cookie {cookie.partition('=')[0]} lost Secure or HttpOnly",
                "configure the proxy not to change cookies",
            )


def _get(url: str) -> tuple[int, Message, bytes]:
    try:
        with build_opener(_Stay).open(Request(url), timeout=5) as answer:  # noqa: S310 - BASE_URL is http or https
            return answer.status, answer.headers, answer.read(65536)
    except HTTPError as refused:
        with refused:
            return refused.code, refused.headers, refused.read(65536)
    except (OSError, HTTPException) as problem:
        cause = getattr(problem, "reason", problem)
        raise Unreachable(cause) from None
