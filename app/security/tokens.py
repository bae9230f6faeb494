"""Random tokens and their hashes; every secret has 192 bits or more."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence

from itsdangerous import BadData, URLSafeTimedSerializer


def new_token() -> str:
    """256 random bits, URL-safe, 43 characters."""
    return secrets.token_urlsafe(32)


def new_salt() -> bytes:
    return secrets.token_bytes(16)


def token_hash(token: str) -> str:
    """The stored hash of a token. Tokens have full entropy, so one SHA-256 is enough (no stretching, no salt)."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def keyed_hash(key: str, *parts: str | bytes) -> str:
    """HMAC-SHA-256 (RFC 2104) over length-prefixed parts, URL-safe, 43 characters."""
    mac = hmac.new(key.encode(), digestmod=hashlib.sha256)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        mac.update(len(data).to_bytes(4, "big") + data)
    return base64.urlsafe_b64encode(mac.digest()).rstrip(b"=").decode()


def doctor_token(secret_keys: Sequence[str]) -> str:
    """Shows `flask doctor` to a site with the same SECRET_KEY, for a minute."""
    return URLSafeTimedSerializer(secret_keys[0], salt="doctor").dumps("")


def is_doctor_token(token: str, secret_keys: Sequence[str]) -> bool:
    try:
        URLSafeTimedSerializer([*reversed(secret_keys)], salt="doctor").loads(token, max_age=60)
    except BadData:
        return False
    return True


def is_same(one: str, other: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass"))
