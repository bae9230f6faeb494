"""Middleware that normalizes a request's client address and host, and checks the host."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from flask import Flask, request
from werkzeug.exceptions import SecurityError

from app.core.extensions import settings
from app.core.settings import CoreSettings, is_loopback
from app.core.urls import ascii_host
from app.web.views import mark_view, view_property

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Via")
WEB_SCHEMES = {"ws": "http", "wss": "https"}
FORWARDED_PREFIX = "HTTP_X_FORWARDED_PREFIX"
_HOST = re.compile(r"(\[[^\]]*\]|[^:]*)(:\d*)?")
_CLIENT_WITH_PORT = re.compile(r"(\d+\.\d+\.\d+\.\d+):\d+|\[([0-9A-Fa-f:.]+)\](?::\d+)?")


class Front:
    """WSGI middleware that runs after the proxies' headers were applied.

    Some proxies (for example Azure's) send the client's address with its port, which would make every request a
    different network. `prefix` is the mount path from BASE_URL, whether or not the proxy strips it; `X-Forwarded-
    Prefix` is ignored, because a client may have set it.
    """

    def __init__(self, app: WSGIApplication, *, prefix: str) -> None:
        self._app = app
        self._prefix = prefix
        self._has_warned = False

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        match = _CLIENT_WITH_PORT.fullmatch(environ.get("REMOTE_ADDR", ""))
        if match:
            environ["REMOTE_ADDR"] = match[1] or match[2]
        if "HTTP_HOST" in environ:
            environ["HTTP_HOST"] = _usual(environ["HTTP_HOST"])
        # The handshake of another app's WebSocket: Traefik tells the scheme, Caddy passes the header on.
        environ["wsgi.url_scheme"] = WEB_SCHEMES.get(environ["wsgi.url_scheme"], environ["wsgi.url_scheme"])
        environ.pop("HTTP_UPGRADE", None)
        environ["SCRIPT_NAME"] = self._prefix
        path = environ.get("PATH_INFO", "")
        if self._prefix and (path == self._prefix or path.startswith(f"{self._prefix}/")):
            environ["PATH_INFO"] = path[len(self._prefix) :] or "/"
        if FORWARDED_PREFIX in environ and not self._prefix and not self._has_warned:
            self._has_warned = True
            log.warning("X-Forwarded-Prefix is ignored; a path belongs in BASE_URL")
        return self._app(environ, start_response)


def init_app(app: Flask, settings: CoreSettings) -> None:
    app.wsgi_app = Front(app.wsgi_app, prefix=settings.path_prefix)  # type: ignore[method-assign]


# Mark a view for proxies of other apps, with the hosts of those apps and their cookie.
for_other_apps = mark_view(is_for_other_apps=True)


def check_host() -> None:
    """Refuse other hosts; Flask's TRUSTED_HOSTS does not support IPv6 addresses (Werkzeug 3.2)."""
    if view_property("is_for_other_apps") and request.host in settings().return_hosts:
        return
    if not is_trusted(request.host, settings().trusted_hosts):
        raise SecurityError(f"Host {request.host!r} is not trusted.")


def is_trusted(host: str, trusted: Iterable[str]) -> bool:
    """Return whether `host` (with or without a port) is trusted, or below a trusted domain that starts with a dot."""
    match = _HOST.fullmatch(host)
    name = match[1] if match else ""
    if name.startswith("["):
        try:
            name = ascii_host(name)
        except ValueError:
            return False
    return any(name == host or (host.startswith(".") and f".{name}".endswith(host)) for host in trusted if name)


def _usual(host: str) -> str:
    """Normalize a host: lower case, no final dot; `Example.COM.:8000` becomes `example.com:8000`."""
    match = _HOST.fullmatch(host.lower())
    return f"{match[1].removesuffix('.')}{match[2] or ''}" if match else host


def is_from_this_machine() -> bool:
    """Return whether a request comes from this machine and was not forwarded by a proxy."""
    return is_loopback(request.remote_addr or "") and not any(name in request.headers for name in FORWARDED)
