"""Rate limits: named, configured in the settings, counted by network, and always on."""

from __future__ import annotations

import ipaddress
import math
import time
from collections.abc import Callable
from functools import lru_cache
from http import HTTPStatus
from urllib.parse import unquote_to_bytes

from flask import Response, abort, g, request

from app.extensions import limiter, settings
from app.web.identity import has_explicit_credential, principal, signed_in
from app.web.views import View, mark_view, view_property


def require_length() -> None:
    """Without Content-Length, a body would be cut off at MAX_CONTENT_LENGTH and taken for the whole."""
    if "Transfer-Encoding" in request.headers and request.content_length is None:
        abort(411)


def require_text() -> None:
    """Bytes that are not UTF-8 would be stored as percent escapes or replacement characters."""
    sent = [request.query_string]
    if request.mimetype == "application/x-www-form-urlencoded":
        sent.append(request.get_data())
    try:
        for part in sent:
            unquote_to_bytes(part.replace(b"+", b" ")).decode()
    except UnicodeDecodeError:
        abort(400, "What was sent is no UTF-8 text.")


def limited(what: str, *, method: str = "POST") -> Callable[[View], View]:
    """At most LIMIT_<WHAT> requests of this method (HEAD counts as GET), together for all views with that limit."""
    return mark_view(limit=(_counter(what, network), method))


def limited_by_key(view: View) -> View:
    """At most LIMIT_API requests with each API key, together for all views with that limit."""
    return mark_view(is_limited_by_key=True)(view)


def check_limits() -> None:
    """Count the request against the limits of its view. Raises RateLimitExceeded.

    On any server; without Redis, each process counts by itself.
    """
    count, method = view_property("limit", (None, ""))
    if count and ("GET" if request.method == "HEAD" else request.method) == method:
        count()
    who = principal() if view_property("is_limited_by_key") and has_explicit_credential() else None
    g.counts_key = who is not None and who.via == "api_key"
    if g.counts_key:
        _counter("api", _key_id)()


def add_quota_headers(response: Response) -> None:
    """draft-ietf-httpapi-ratelimit-headers: the key's requests in a window, and how many are left in this one."""
    quota = limiter.current_limit if g.get("counts_key") else None
    if quota is None:
        return
    seconds = max(0, math.ceil(quota.reset_at - time.time()))
    response.headers["RateLimit-Policy"] = f'"key";q={quota.limit.amount};w={quota.limit.get_expiry()}'
    response.headers["RateLimit"] = f'"key";r={max(0, quota.remaining)};t={seconds}'
    if response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
        response.headers["Retry-After"] = str(max(1, seconds))


@lru_cache  # One for each limit: Flask-Limiter adds up those of the same name.
def _counter(what: str, key: Callable[[], str]) -> Callable[[], None]:
    """A function that counts one request, under a name of its own, by which Flask-Limiter finds its limit."""

    def count() -> None:
        """Flask-Limiter's decorator does the work."""

    count.__qualname__ = f"count_{what}"
    return limiter.shared_limit(lambda: settings().limit(what), scope=what, key_func=key)(count)


def _key_id() -> str:
    return f"api-key:{signed_in().key_id}"


def network() -> str:
    """The client's address; for IPv6 its /64, which one household or server usually has."""
    return household(request.remote_addr or "unknown")  # An empty key would not be counted.


def household(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, ipaddress.IPv6Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False).network_address)
