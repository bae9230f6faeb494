"""Rate limits: named, set in the settings, counted per network or per address typed, and never off."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from flask import Flask, request

from app.errors import InvalidAddress
from app.extensions import limiter, settings
from app.security.tokens import token_hash
from app.services.addresses import canonical_address

View = TypeVar("View", bound=Callable[..., Any])


def init_app(app: Flask) -> None:
    """Every limit is named at its route, and checked there: the hook that looks each request up would find nothing."""
    limiter.init_app(app)
    app.before_request_funcs[None].remove(limiter._check_request_limit)


def limited(what: str, *, by: Callable[[], str] | None = None) -> Callable[[View], View]:
    """At most LIMIT_<WHAT> POSTs, counted together for all routes of that name; looking is not counted."""
    limit = limiter.shared_limit(_value(what), scope=what, key_func=by or network, methods=["POST"])

    def mark(view: View) -> View:
        counted = limit(view)

        @wraps(view)
        def choose(**values: Any) -> Any:
            return (counted if request.method == "POST" else view)(**values)

        return cast(View, choose)

    return mark


def limited_by_address() -> Callable[[View], View]:
    """At most LIMIT_ADDRESS mails asked for one address, whoever asks."""
    return limited("address", by=typed_address)


def _value(what: str) -> Callable[[], str]:
    return lambda: settings().limit(what)


def network() -> str:
    """The client's address; for IPv6 its /64, which is what one household or server gets."""
    return household(request.remote_addr or "")


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


def typed_address() -> str:
    """A hash of the address in the form, so that no address rests in the counter's store."""
    try:
        return token_hash(canonical_address(request.form.get("email", "")))
    except InvalidAddress:
        return network()
