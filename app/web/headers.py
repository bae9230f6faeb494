"""Security headers, the request id and the request log."""

import logging
import re
import time
from secrets import token_hex

from flask import Flask, Response, current_app, g, request

from app.core.extensions import settings
from app.core.metrics import metrics
from app.core.settings import CoreSettings
from app.web.views import view_property

log = logging.getLogger("app.requests")

_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{8,64}")

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "manifest-src 'self'; frame-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; "
    "object-src 'none'"
)
PERMISSIONS_POLICY = (
    "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), "
    "payment=(), usb=(), publickey-credentials-get=(self), publickey-credentials-create=(self)"
)
FOR_GOOD = "public, max-age=31536000, immutable"
FOR_AN_HOUR = "public, max-age=3600"


def init_app(app: Flask, settings: CoreSettings) -> None:
    always = {
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": PERMISSIONS_POLICY,
        "Content-Security-Policy": content_security_policy(settings),
    }
    if settings.is_https:
        always["Strict-Transport-Security"] = "max-age=63072000; includeSubDomains"

    app.extensions["security_headers"] = [*always.items()]


def start_request() -> None:
    """Store the request's ID and start time."""
    # From the environment: a header that is missing from `request.headers` costs an exception.
    request_id = request.environ.get("HTTP_X_REQUEST_ID", "")
    g.request_id = request_id if settings().trusted_proxies and _REQUEST_ID.fullmatch(request_id) else token_hex(16)
    g.began = time.perf_counter()


def add_security_headers(response: Response) -> None:
    """Add the headers of every response; headers that the view has set stay."""
    if view_property("is_static_file") and response.status_code in {200, 206, 304}:
        response.headers["Cache-Control"] = FOR_GOOD if "v" in request.args else FOR_AN_HOUR
    headers = [
        *current_app.extensions["security_headers"],
        ("Referrer-Policy", g.get("referrer_policy", "same-origin")),
        ("X-Request-ID", g.get("request_id", "")),
        ("Cache-Control", "no-store"),
    ]
    # Adding all at once takes a tenth of the time of setting each.
    own = {name.title() for name, _ in response.headers}
    response.headers.extend([header for header in headers if header[0].title() not in own])


def content_security_policy(settings: CoreSettings) -> str:
    """Return the policy. Chromium also checks redirects after a form, like one to another application after sign-in."""
    apps = " ".join(settings.return_origins)
    return CONTENT_SECURITY_POLICY.replace("form-action 'self'", f"form-action 'self' {apps}".rstrip())


def for_everyone(response: Response, *, seconds: int) -> Response:
    """Let shared caches store a response without personal data, and answer 304 where it is unchanged."""
    response.headers["Cache-Control"] = f"public, max-age={seconds}"
    if not response.direct_passthrough:
        response.add_etag()
    return response.make_conditional(request)  # type: ignore[return-value]


def log_request(response: Response) -> None:
    """Count the request, and write its line of the log."""
    who = getattr(g.get("_login_user"), "user_id", None)
    # The path only: a query string can contain what people searched for. One-time tokens are left out of it too.
    rule = request.url_rule
    seconds = time.perf_counter() - g.get("began", time.perf_counter())
    metrics.request(
        method=request.method, route=rule.rule if rule else None, status=response.status_code, seconds=seconds
    )
    log.info(
        "request",
        extra={
            "request_id": g.get("request_id"),
            "method": request.method if len(request.method) < 12 else "?",
            "route": rule.rule if rule is not None else None,
            "status": response.status_code,
            "code": g.get("refused_as"),
            "duration_ms": round(seconds * 1000, 2),
            "user_id": who,
            "address": request.remote_addr,
        },
    )
