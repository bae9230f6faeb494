"""Parsing and normalization of URLs and email addresses in settings."""

import ipaddress
import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

import idna
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

DEFAULT_PORTS = {"http": 80, "https": 443}
_LOCAL_PART = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_PATH = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*")


class Sender(NamedTuple):
    """The sender of emails; `domain` is ASCII, or an address literal in brackets (RFC 5321, section 4.1.3)."""

    name: str
    local: str
    domain: str

    @property
    def address(self) -> str:
        return f"{self.local}@{self.domain}"


def split(address: str, advice: str) -> SplitResult:
    """Return the parts of a URL, its port as a number. Raises ValueError with advice."""
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        raise ValueError(advice) from None
    return parts


def ascii_host(host: str) -> str:
    """Return a host in lower case, IDNA, without final dot; IPv6 in short form with brackets. Raises ValueError."""
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        name = host.rstrip(".")
        # Host names within a network may have characters that IDNA does not allow, such as an underscore.
        return name.lower() if re.fullmatch(r"[A-Za-z0-9._-]+", name) else _encoded(name)
    return f"[{address}]" if address.version == 6 else str(address)


def _encoded(name: str) -> str:
    try:
        return idna.encode(name, uts46=True).decode()
    except idna.IDNAError as problem:
        raise ValueError(str(problem)) from None


def origin(url: str) -> str:
    """Return `scheme://host[:port]` as a browser writes it in Origin (RFC 6454). Raises ValueError without one."""
    parts = split(url, "not a URL")
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise ValueError("not a URL")
    port = "" if parts.port in {None, DEFAULT_PORTS[parts.scheme]} else f":{parts.port}"
    return f"{parts.scheme}://{ascii_host(parts.hostname)}{port}"


def public_url(typed: str, advice: str) -> str:
    """Return the origin and mount path without a trailing slash. Raises ValueError."""
    parts = split(typed, advice)
    path = parts.path.rstrip("/")
    if parts.query or parts.fragment or parts.username or not _PATH.fullmatch(path):
        raise ValueError(advice)
    try:
        return origin(typed) + path
    except ValueError:
        raise ValueError(advice) from None


def sender(typed: str, advice: str) -> Sender:
    """Parse `Name <local@domain>` or `local@domain`; the name may have any printable character. Raises ValueError."""
    match = re.fullmatch(r'(?:("(?:[^"\\]|\\.)*"|[^<>]*?)\s*<([^<>\s]+)>|([^<>\s]+))', typed.strip())
    if not match or not typed.isprintable():
        raise ValueError(advice)
    name, address = match[1] or "", match[2] or match[3]
    if len(name) > 1 and name[0] == name[-1] == '"':
        name = re.sub(r"\\(.)", r"\1", name[1:-1])
    local, _, domain = address.rpartition("@")
    if not _LOCAL_PART.fullmatch(local):
        raise ValueError(advice)
    try:
        return Sender(name, local, ascii_host(domain))
    except ValueError:
        raise ValueError(advice) from None


def no_reply(name: str, host: str) -> Sender:
    """Return the default sender: the site."""
    literal = re.sub(r"^\[", "[IPv6:", host) if host.startswith("[") else host
    is_address = literal.startswith("[") or re.fullmatch(r"[\d.]+", host)
    return Sender(name, "no-reply", f"[{literal.strip('[]')}]" if is_address else host)


def hides_credentials(parts: SplitResult) -> bool:
    """Return whether an unencoded `/`, `?` or `#` in the credentials has cut the host off."""
    return "@" in parts.path + parts.query + parts.fragment


def database(typed: str, *, folder: Path) -> URL:
    """Return the database's URL; a relative SQLite path is inside `folder`. Raises ValueError."""
    try:
        url = make_url(typed.replace("postgres://", "postgresql://", 1))
    except ArgumentError as problem:
        raise ValueError(str(problem)) from None
    if url.get_backend_name() == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    if url.database in {None, "", ":memory:"}:
        return url
    return url.set(database=str(folder / str(url.database)))
