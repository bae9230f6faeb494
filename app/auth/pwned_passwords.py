"""Checks for breached passwords: a short built-in list, a k-anonymity service, or a local file."""

import hashlib
import http.client
import logging
import re
import ssl
from collections.abc import Callable
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from app.core.deadline import Deadline

log = logging.getLogger(__name__)


def never(password: str) -> bool:
    """Accept every password."""
    return False


def by_list(password: str) -> bool:
    """Compare with `common_passwords.list`, whatever the case, the signs between words, and digits around them."""
    bare = re.sub(r"[\W_]+", "", password.casefold())
    return not {bare, bare.strip("0123456789")}.isdisjoint(_common_passwords())


@cache
def _common_passwords() -> frozenset[str]:
    return frozenset(Path(__file__).with_name("common_passwords.list").read_text().split())


def by_service(url: str, *, timeout: float) -> Callable[[str], bool]:
    """Query a k-anonymity range service: it gets five digits of a SHA-1 and returns about 800 suffixes.

    `timeout` is in seconds, for all of it. If the service is away, the password is accepted and that is logged. It
    follows no redirects.
    """

    def is_breached(password: str) -> bool:
        digest = _digest(password)
        try:
            with Deadline(timeout) as deadline:
                lines = _fetch(url + digest[:5], deadline).splitlines()
        except (OSError, http.client.HTTPException) as problem:
            log.warning("the breach check could not be asked", extra={"reason": type(problem).__name__})
            return False
        # Padding consists of suffixes with a count of 0.
        return any(line.startswith(digest[5:]) and not line.endswith(":0") for line in lines)

    return is_breached


def _fetch(url: str, deadline: Deadline) -> str:
    parts = urlsplit(url)
    host, is_tls = parts.hostname or "", parts.scheme == "https"
    kind = http.client.HTTPSConnection if is_tls else http.client.HTTPConnection
    connection = kind(host, parts.port)
    try:
        connected = deadline.connect(host, connection.port, at_most=deadline.left())
        connection.sock = (
            ssl.create_default_context().wrap_socket(connected, server_hostname=host) if is_tls else connected
        )
        connection.request("GET", parts.path, headers={"Add-Padding": "true"})
        answer = connection.getresponse()
        if answer.status != http.HTTPStatus.OK:
            raise http.client.HTTPException(f"status {answer.status}")
        text = answer.read(1_000_000).decode("ascii", "replace")
        deadline.left()  # A response cut off by the deadline is incomplete.
    finally:
        connection.close()
    return text


def by_file(path: Path) -> Callable[[str], bool]:
    """Search a sorted file of upper-case SHA-1 hashes in place, one a line (`HASH` or `HASH:count`)."""

    def is_breached(password: str) -> bool:
        digest = _digest(password).encode()
        with path.open("rb") as file:
            low, high = 0, file.seek(0, 2)
            while low < high:
                middle = (low + high) // 2
                file.seek(middle)
                if middle:
                    file.readline()
                line = file.readline().strip()[:40].upper()
                if line == digest:
                    return True
                if line and line < digest:
                    low = middle + 1
                else:
                    high = middle
            file.seek(0)
            return file.readline().strip()[:40].upper() == digest

    return is_breached


def _digest(password: str) -> str:
    # SHA-1 is the format of the published lists; nothing is protected by it.
    return hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest().upper()
