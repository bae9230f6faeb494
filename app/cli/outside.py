"""How the site is seen from outside, for `flask doctor`: it asks BASE_URL as a browser would, through all proxies."""

from __future__ import annotations

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

from app import urls
from app.security.tokens import doctor_token
from app.settings import Settings

# How nobody can use the site, and what mends it.
CAUSES = (
    (socket.gaierror, "there is no address for this name; mend BASE_URL or the DNS"),
    (ConnectionRefusedError, "nothing listens there; start the proxy: systemctl start nginx"),
    (ssl.SSLCertVerificationError, "the certificate does not fit; renew it, for this name and with the whole chain"),
    (ssl.SSLError, "what listens there speaks no TLS that browsers speak"),
)

Wrong = tuple[str, str]
"""What is wrong, and what to do."""


class Unreachable(Exception):
    """Nobody answers at BASE_URL, as seen from this machine. `advice` mends the cause; empty if that is unclear."""

    def __init__(self, problem: BaseException | str) -> None:
        super().__init__(str(problem))
        self.advice = next((advice for kind, advice in CAUSES if isinstance(problem, kind)), "")


class _Stay(HTTPRedirectHandler):
    def redirect_request(self, *request: Any) -> None:
        return None


def looked_at(settings: Settings) -> tuple[str, list[Wrong]]:
    """How the site sees this machine, and what is wrong. Raises Unreachable."""
    status, _, body = _get(
        f"{settings.public_url}/healthz?{urlencode({'doctor': doctor_token(settings.signing_keys)})}"
    )
    try:
        seen = json.loads(body)
    except ValueError:
        seen = {}
    if status == 400:
        return "", [("the host of BASE_URL is not accepted", "let the proxy send it on as Host or X-Forwarded-Host")]
    if status in {502, 503, 504} and "status" not in seen:
        advice = "the web behind it does not run: systemctl start gatehouse-web, and see its log"
        return "", [(f"the proxy answers {status}", advice)]
    if not isinstance(seen, dict) or "address" not in seen:
        advice = "it is another site, or runs with another SECRET_KEY or an older release"
        return "", [(f"what answers at BASE_URL ({status}) is not this installation", advice)]
    return str(seen["address"]), [
        *_proxies(settings, seen["proxies"]),
        *_url(settings, seen["url"]),
        *_prefix(settings, seen.get("prefix", False)),
        *_headers(settings),
    ]


def _proxies(settings: Settings, count: int) -> Iterator[Wrong]:
    if count < settings.trusted_proxies:
        what = f"TRUSTED_PROXIES is {settings.trusted_proxies}, and {count} wrote X-Forwarded-For"
        yield (
            what,
            f"anybody can pretend to come from any address; let each proxy write it, or set TRUSTED_PROXIES={count}",
        )
    elif count > settings.trusted_proxies:
        what = f"TRUSTED_PROXIES is {settings.trusted_proxies}, and {count} wrote X-Forwarded-For"
        yield what, f"everybody seems to come from a proxy and shares its limits; set TRUSTED_PROXIES={count}"


def _url(settings: Settings, seen: str) -> Iterator[Wrong]:
    wanted = urls.origin(settings.public_url)
    if urls.origin(seen) != wanted:
        yield (
            f"the site sees itself as {urls.origin(seen)}, and BASE_URL is {wanted}",
            "let the proxy send X-Forwarded-Proto and X-Forwarded-Host, and set TRUSTED_PROXIES",
        )


def _prefix(settings: Settings, arrives: bool) -> Iterator[Wrong]:
    if arrives and not settings.path_prefix:
        yield (
            "X-Forwarded-Prefix arrives and is ignored",
            "put the path into BASE_URL, or let the proxy clear the header",
        )


def _headers(settings: Settings) -> Iterator[Wrong]:
    _, headers, _ = _get(f"{settings.public_url}/auth/login")
    if settings.is_https and len(headers.get_all("Strict-Transport-Security", [])) != 1:
        yield "Strict-Transport-Security does not arrive once", "let the proxy pass on ours, and add none of its own"
    for cookie in headers.get_all("Set-Cookie", []):
        flags = {flag.strip().lower() for flag in cookie.split(";")}
        if "httponly" not in flags or (settings.is_https and "secure" not in flags):
            yield f"the cookie {cookie.partition('=')[0]} lost Secure or HttpOnly", "let the proxy leave cookies alone"


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
