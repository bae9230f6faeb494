"""Rate limits: named, configured in the settings, counted by network, and always on."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast
from urllib.parse import unquote_to_bytes

from flask import Flask, abort, request

from app.extensions import limiter, settings

View = TypeVar("View", bound=Callable[..., Any])


def init_app(app: Flask) -> None:
    """Limits are checked by the decorator at each route, so the extension's hook is not needed."""
    app.before_request(_want_length)
    app.before_request(_want_text)
    limiter.init_app(app)
    app.before_request_funcs[None].remove(limiter._check_request_limit)


def _want_length() -> None:
    """Without Content-Length, a body would be cut off at MAX_CONTENT_LENGTH and taken for the whole."""
    if "Transfer-Encoding" in request.headers and request.content_length is None:
        abort(411)


def _want_text() -> None:
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
    """At most LIMIT_<WHAT> requests of this method, counted together for all routes of that name."""
    limit = limiter.shared_limit(_value(what), scope=what, key_func=network, methods=[method])

    def mark(view: View) -> View:
        counted = limit(view)

        @wraps(view)
        def choose(**values: Any) -> Any:
            return (counted if request.method == method else view)(**values)

        return cast(View, choose)

    return mark


def _value(what: str) -> Callable[[], str]:
    return lambda: settings().limit(what)


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
