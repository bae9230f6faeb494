"""CORS: other sites that can read API responses (CORS_ORIGINS)."""

import re
from collections.abc import Callable

from flask import Flask, Response, current_app, request
from flask_cors import cross_origin

from app.core.settings import CoreSettings

EXPOSED = ["ETag", "Idempotency-Replayed", "Location", "RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-ID"]
ALLOWED = ["Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match", "X-CSRFToken"]
DAY_SECONDS = 24 * 3600


def init_app(app: Flask, settings: CoreSettings) -> None:
    if settings.cors_origins:
        app.extensions["cors"] = _header_setter(settings.cors_origins)


def add_cors_headers(response: Response) -> None:
    add_headers = current_app.extensions.get("cors")
    if add_headers and request.path.startswith("/api/v1/"):
        add_headers(response)


def _header_setter(origins: list[str]) -> Callable[[Response], Response]:
    # Of a string with characters like `[`, as of an IPv6 address, flask-cors makes a regular expression.
    exactly = [origin if origin == "*" else re.compile(rf"{re.escape(origin)}\Z") for origin in origins]
    return cross_origin(
        origins=exactly,
        supports_credentials="*" not in origins,
        methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=ALLOWED,
        expose_headers=EXPOSED,
        max_age=DAY_SECONDS,
        automatic_options=False,
    )(lambda response: response)
