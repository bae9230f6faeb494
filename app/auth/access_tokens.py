"""Access tokens: JWTs (RFC 9068) with a fixed header, so the sender can't choose algorithm or key.

Their key pairs are derived from the site's secret keys: every server has them, and nothing is stored. joserfc and
cryptography are imported with the first token, because that takes longer than most commands.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from app.core.remembered import Remembered

if TYPE_CHECKING:
    from joserfc.jwk import ECKey

ALGORITHM = "ES256"
TYPE = "at+jwt"
LONGEST = 2048
CLOCK_SKEW = timedelta(seconds=5)

# The order of the group of P-256 (SEC 2, section 2.4.2).
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


_verified: Remembered[dict[str, Any]] = Remembered()


class BadToken(Exception):
    """Not a valid token of ours; the reason is not disclosed."""


@dataclass(frozen=True, slots=True)
class Access:
    """The claims of a token: which session it belongs to."""

    user_id: int
    session_id: int


@lru_cache(maxsize=16)
def key_pair(secret_key: str) -> ECKey:
    """Return the P-256 key pair of a secret key; its `kid` is its thumbprint (RFC 7638).

    HKDF-SHA-256 (RFC 5869), with an `info` of its own, gives 64 bits more than the private scalar has, so that
    reducing them leaves no bias (FIPS 186-5, A.2.1).
    """
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from joserfc.jwk import ECKey

    derived = HKDF(SHA256(), length=40, salt=None, info=b"gatehouse: ES256 access tokens").derive(secret_key.encode())
    scalar = int.from_bytes(derived, "big") % (P256_ORDER - 1) + 1
    private = derive_private_key(scalar, SECP256R1())
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    kid = str(ECKey.import_key(pem).thumbprint())
    return ECKey.import_key(pem, {"kid": kid, "use": "sig", "alg": ALGORITHM})


def public_keys(secret_keys: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Return the public keys as a JWK Set (RFC 7517, section 5), the signing one first."""
    return {"keys": [dict(key_pair(key).as_dict(private=False)) for key in secret_keys]}


def sign(access: Access, *, secret_key: str, issuer: str, at: datetime, lifetime: timedelta) -> str:
    from joserfc import jwt

    key = key_pair(secret_key)
    issued = int(at.timestamp())
    claims = {
        "iss": issuer,
        "aud": audience(issuer),
        "sub": str(access.user_id),
        "sid": str(access.session_id),
        "iat": issued,
        "exp": issued + int(lifetime.total_seconds()),
        "jti": uuid4().hex,
    }
    return jwt.encode({"alg": ALGORITHM, "typ": TYPE, "kid": key.kid}, claims, key, algorithms=[ALGORITHM])


def read_token(token: str, *, secret_keys: Sequence[str], issuer: str, at: datetime) -> Access:
    """Return the token's claims if one of our keys signed it for this site and it is valid. Raises BadToken."""
    claims = _claims(token, tuple(secret_keys))
    now, skew = at.timestamp(), CLOCK_SKEW.total_seconds()
    if claims.get("iss") != issuer or claims.get("aud") != audience(issuer):
        raise BadToken
    try:
        if not (now < int(claims["exp"]) and int(claims["iat"]) <= now + skew):
            raise BadToken
        return Access(user_id=int(claims["sub"]), session_id=int(claims["sid"]))
    except (KeyError, TypeError, ValueError):
        raise BadToken from None


def _claims(token: str, secret_keys: tuple[str, ...]) -> dict[str, Any]:
    """Return the claims of a token signed by one of our keys. Raises BadToken.

    To verify a signature takes longer than the rest of a request's identity, so the last ones are remembered, by the
    token's digest. Whether the claims are good now is judged each time.
    """
    key = hashlib.sha256(token.encode()).digest(), secret_keys
    return _verified.find(key) or _verified.keep(key, _verify(token, secret_keys))


def _verify(token: str, secret_keys: Sequence[str]) -> dict[str, Any]:
    """Raises BadToken."""
    from joserfc import jwt
    from joserfc.errors import JoseError

    kid = _kid(token)
    key = next((pair for secret_key in secret_keys if (pair := key_pair(secret_key)).kid == kid), None)
    if key is None:
        raise BadToken
    try:
        return jwt.decode(token, key, algorithms=[ALGORITHM]).claims
    except (JoseError, ValueError):
        raise BadToken from None


def audience(issuer: str) -> str:
    return f"{issuer}/api/v1"


def _kid(token: str) -> str:
    """Return the `kid` of a header that has exactly our form. Raises BadToken.

    All other header fields (`jwk`, `jku`, `x5c`, `crit`, another `alg` or `typ`) are refused before any key is looked
    up.
    """
    head, _, rest = token.partition(".")
    if len(token) > LONGEST or rest.count(".") != 1:
        raise BadToken
    try:
        header = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    except (ValueError, RecursionError):
        raise BadToken from None
    if (
        not isinstance(header, dict)
        or header.keys() != {"alg", "typ", "kid"}
        or (header["alg"], header["typ"]) != (ALGORITHM, TYPE)
        or not isinstance(header["kid"], str)
    ):
        raise BadToken
    return header["kid"]
