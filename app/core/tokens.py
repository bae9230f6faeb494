"""Random tokens and their hashes; every secret has 192 bits or more."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence

from itsdangerous import BadData, URLSafeTimedSerializer


def new_token() -> str:
    """Return 256 random bits, URL-safe, 43 characters."""
    return secrets.token_urlsafe(32)


def new_salt() -> bytes:
    return secrets.token_bytes(16)


def token_hash(token: str) -> str:
    """Return the stored hash of a token. One SHA-256 without a salt is enough, because tokens have full entropy."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def keyed_hash(key: str, *parts: str | bytes) -> str:
    """Return HMAC-SHA-256 (RFC 2104) over length-prefixed parts, URL-safe, 43 characters."""
    mac = hmac.new(key.encode(), digestmod=hashlib.sha256)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        mac.update(len(data).to_bytes(4, "big") + data)
    return base64.urlsafe_b64encode(mac.digest()).rstrip(b"=").decode()


def doctor_token(secret_keys: Sequence[str]) -> str:
    """Return a token, valid for a minute, by which a site with the same SECRET_KEY recognizes `flask doctor`."""
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
