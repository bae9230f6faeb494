"""Rate limits: named, configured in settings, counted by network, user or API key, and always on."""

import ipaddress
import math
import time
from collections.abc import Callable
from functools import lru_cache
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote_to_bytes

from flask import Response, abort, g, request
from limits import RateLimitItem, WindowStats
from limits.storage import RedisStorage
from limits.strategies import STRATEGIES, FixedWindowRateLimiter
from werkzeug.exceptions import HTTPException

from app.core.extensions import limiter, settings
from app.web.current_user import principal, signed_in
from app.web.views import View, mark_view, view_property

SAFE_METHODS = {"GET", "HEAD", "OPTIONS", "TRACE"}
# Acts of a person, wherever they are: from a page and the API together. Others are counted by network.
OF_PERSONS = {"mail", "write"}


# As the library's script, which returns the count alone.
_COUNT = """
local count = redis.call("incrby", KEYS[1], ARGV[2])
if count == tonumber(ARGV[2]) then redis.call("expire", KEYS[1], ARGV[1]) end
return {count, redis.call("ttl", KEYS[1])}
"""


class CountingWindow(FixedWindowRateLimiter):
    """The fixed window of `limits`; a count in Redis also returns the rest, which would take two more round trips."""

    def __init__(self, storage: Any) -> None:
        super().__init__(storage)
        self._script = storage.storage.register_script(_COUNT) if isinstance(storage, RedisStorage) else None

    def hit(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> bool:
        if self._script is None:
            return super().hit(item, *identifiers, cost=cost)
        key = item.key_for(*identifiers)
        stored: Any = self.storage
        count, seconds = self._script(keys=[stored.prefixed_key(key)], args=[item.get_expiry(), cost])
        left = WindowStats(time.time() + max(0, seconds), max(0, item.amount - count))
        g.setdefault("windows", {})[key] = left
        return bool(count <= item.amount)

    def get_window_stats(self, item: RateLimitItem, *identifiers: str) -> WindowStats:
        window: WindowStats | None = g.get("windows", {}).get(item.key_for(*identifiers))
        return window or super().get_window_stats(item, *identifiers)


STRATEGIES["counting-window"] = CountingWindow


def require_length() -> None:
    """Refuse a body without Content-Length, which would be cut off at MAX_CONTENT_LENGTH."""
    if "HTTP_TRANSFER_ENCODING" in request.environ and request.content_length is None:
        abort(411)


def require_text() -> None:
    """Refuse bytes that are not UTF-8: they would be stored as percent escapes or replacement characters."""
    sent = [request.query_string]
    if request.mimetype == "application/x-www-form-urlencoded":
        sent.append(request.get_data())
    try:
        for part in sent:
            unquote_to_bytes(part.replace(b"+", b" ")).decode()
    except UnicodeDecodeError:
        abort(400, "The request isn't valid UTF-8 text.")


def limited(limit: str, *, method: str = "POST") -> Callable[[View], View]:
    """Limit requests of this method (HEAD counts as GET) to LIMIT_<WHAT>, which views with that limit share."""
    return mark_view(limit=(limit, method))


def count(limit: str) -> None:
    """Count one action against LIMIT_<WHAT>. Raises RateLimitExceeded.

    For views in which only some requests are limited; elsewhere use `limited`.
    """
    _hit(limit, person_or_network if limit in OF_PERSONS else network)


def check_limits() -> None:
    """Count the request against the limits of its view. Raises RateLimitExceeded.

    On any server; without Redis, each process counts by itself.
    """
    what, method = view_property("limit", (None, ""))
    if what and ("GET" if request.method == "HEAD" else request.method) == method:
        count(what)
    if request.endpoint is None or view_property("is_public"):
        return
    who = principal()
    g.counts_key = who is not None and who.is_key
    if g.counts_key:
        _hit("api", _key_id)
    elif who is not None and request.method not in SAFE_METHODS:
        count("write")


def add_quota_headers(response: Response) -> None:
    """Add the key's quota and remaining requests (draft-ietf-httpapi-ratelimit-headers)."""
    quota = limiter.current_limit if g.get("counts_key") else None
    if quota is None:
        return
    seconds = max(0, math.ceil(quota.reset_at - time.time()))
    response.headers["RateLimit-Policy"] = f'"key";q={quota.limit.amount};w={quota.limit.get_expiry()}'
    response.headers["RateLimit"] = f'"key";r={max(0, quota.remaining)};t={seconds}'
    if response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
        response.headers["Retry-After"] = str(max(1, seconds))


def _hit(limit: str, key: Callable[[], str]) -> None:
    """Count one request. Raises RateLimitExceeded."""
    hit = _counter(limit, key)
    try:
        hit()
    except HTTPException:
        raise
    except Exception:  # noqa: BLE001 - Redis's own, which is loaded only where there is one; a lasting one is raised.
        # When Redis goes away, Flask-Limiter counts in memory for the first request that notices. Another thread that
        # was waiting for Redis gets the error, and counts in memory from its next call on.
        hit()


@lru_cache  # One for each limit: Flask-Limiter adds up those of the same name.
def _counter(limit: str, key: Callable[[], str]) -> Callable[[], None]:
    """Return a function that counts one request under its own name, by which Flask-Limiter finds its limit."""

    def hit() -> None:
        """Count a request with Flask-Limiter's decorator."""

    hit.__qualname__ = f"count_{limit}"
    return limiter.shared_limit(lambda: settings().limit(limit), scope=limit, key_func=key)(hit)


def _key_id() -> str:
    return f"api-key:{signed_in().key_id}"


def person_or_network() -> str:
    """Return the signed-in user, or else the network."""
    who = principal()
    return f"user:{who.account_id}" if who is not None else network()


def network() -> str:
    """Return the client's address; for IPv6 its /64, the usual size of a household or server."""
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
