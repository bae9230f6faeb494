"""Hooks around the endpoints: CORS, and the quota of each API key."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Flask, Response, g
from flask_cors import CORS

from app.extensions import limiter, settings
from app.settings import Settings
from app.web import identity

View = Callable[..., Any]

EXPOSED = ["ETag", "Idempotency-Replayed", "Location", "RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-ID"]
ALLOWED = ["Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match", "X-CSRFToken"]
A_DAY = 24 * 3600


def init_app(app: Flask, settings: Settings) -> None:
    app.after_request(_tell_quota)
    if settings.cors_origins:
        CORS(
            app,
            resources=r"/api/v1/.*",
            origins=settings.cors_origins,
            supports_credentials="*" not in settings.cors_origins,
            methods=["GET", "HEAD", "POST", "PUT", "DELETE"],
            allow_headers=ALLOWED,
            expose_headers=EXPOSED,
            max_age=A_DAY,
        )


def spends_quota(view: View) -> View:
    """Every request with an API key counts, on any server; without Redis, each process counts by itself."""

    @wraps(view)
    def choose(**values: Any) -> Any:
        who = identity.principal() if identity.has_explicit_credential() else None
        g.spends_quota = who is not None and who.via == "api_key"
        if g.spends_quota:
            _count()
        return view(**values)

    return choose


@limiter.shared_limit(
    lambda: settings().limit("api"), scope="api", key_func=lambda: f"api-key:{identity.signed_in().key_id}"
)
def _count() -> None:
    """A separate function: the limiter identifies limits by a function's name, and a view may have one already."""


def _tell_quota(response: Response) -> Response:
    """draft-ietf-httpapi-ratelimit-headers: the key's requests in a window, and how many are left in this one."""
    quota = limiter.current_limit if g.get("spends_quota") else None
    if quota is not None:
        seconds = max(0, math.ceil(quota.reset_at - time.time()))
        response.headers["RateLimit-Policy"] = f'"key";q={quota.limit.amount};w={quota.limit.get_expiry()}'
        response.headers["RateLimit"] = f'"key";r={max(0, quota.remaining)};t={seconds}'
        if response.status_code == 429:
            response.headers["Retry-After"] = str(max(1, seconds))
    return response
