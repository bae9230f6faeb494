"""Access tokens: JWTs (RFC 9068) with one fixed header, so that the sender cannot choose algorithm or key.

joserfc and cryptography are imported with the first token: that takes longer than most commands.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet
    from joserfc.jwk import ECKey

ALGORITHM = "ES256"
TYPE = "at+jwt"
LONGEST = 2048
CLOCK_SKEW = timedelta(seconds=5)


class BadToken(Exception):
    """Not a valid token of ours; the reason is not disclosed."""


@dataclass(frozen=True, slots=True)
class Access:
    """The claims of a token: which session it belongs to."""

    user_id: int
    session_id: int


@dataclass(frozen=True, slots=True)
class KeyPair:
    """`private_jwk` is encrypted under a secret key of the site (`seal`)."""

    kid: str
    public_jwk: dict[str, Any]
    private_jwk: str


def make_key_pair(secret_keys: Sequence[str]) -> KeyPair:
    """A new P-256 key pair, named by its thumbprint (RFC 7638)."""
    from joserfc.jwk import ECKey

    key = ECKey.generate_key("P-256", private=True)
    kid = str(key.thumbprint())
    public = {**key.as_dict(private=False), "kid": kid, "use": "sig", "alg": ALGORITHM}
    return KeyPair(kid, public, seal(json.dumps(key.as_dict(private=True)), secret_keys))


def open_private(sealed: str, secret_keys: Sequence[str]) -> ECKey:
    """Raises BadToken when no secret key opens it."""
    from cryptography.fernet import InvalidToken
    from joserfc.jwk import ECKey

    try:
        return ECKey.import_key(json.loads(_box(secret_keys).decrypt(sealed.encode())))
    except InvalidToken:
        raise BadToken from None


def open_public(jwk: dict[str, Any]) -> ECKey:
    from joserfc.jwk import ECKey

    return ECKey.import_key(jwk)


def seal(text: str, secret_keys: Sequence[str]) -> str:
    return _box(secret_keys).encrypt(text.encode()).decode()


def _box(secret_keys: Sequence[str]) -> MultiFernet:
    from cryptography.fernet import Fernet, MultiFernet

    return MultiFernet([Fernet(_derived(key)) for key in secret_keys])


def _derived(secret_key: str) -> bytes:
    """A derived key for this use only, so that the key that signs cookies does not encrypt as well."""
    mac = hmac.new(secret_key.encode(), b"gatehouse: private halves of signing keys", hashlib.sha256)
    return base64.urlsafe_b64encode(mac.digest())


def sign(access: Access, *, key: ECKey, kid: str, issuer: str, at: datetime, lifetime: timedelta, jti: str) -> str:
    from joserfc import jwt

    issued = int(at.timestamp())
    claims = {
        "iss": issuer,
        "aud": audience(issuer),
        "sub": str(access.user_id),
        "sid": str(access.session_id),
        "iat": issued,
        "exp": issued + int(lifetime.total_seconds()),
        "jti": jti,
    }
    return jwt.encode({"alg": ALGORITHM, "typ": TYPE, "kid": kid}, claims, key, algorithms=[ALGORITHM])


def read_token(token: str, *, find_key: Callable[[str], ECKey | None], issuer: str, at: datetime) -> Access:
    """The token's claims, if one of our keys signed it for this site and it has not expired. Raises BadToken."""
    from joserfc import jwt
    from joserfc.errors import JoseError

    kid = _kid(token)
    key = find_key(kid)
    if key is None:
        raise BadToken
    try:
        claims = jwt.decode(token, key, algorithms=[ALGORITHM]).claims
    except (JoseError, ValueError):
        raise BadToken from None
    now, skew = at.timestamp(), CLOCK_SKEW.total_seconds()
    if claims.get("iss") != issuer or claims.get("aud") != audience(issuer):
        raise BadToken
    try:
        if not (now < int(claims["exp"]) and int(claims["iat"]) <= now + skew):
            raise BadToken
        return Access(user_id=int(claims["sub"]), session_id=int(claims["sid"]))
    except (KeyError, TypeError, ValueError):
        raise BadToken from None


def audience(issuer: str) -> str:
    return f"{issuer}/api/v1"


def _kid(token: str) -> str:
    """The `kid` of a header that has exactly our form. Raises BadToken.

    Whatever else a header may carry (`jwk`, `jku`, `x5c`, `crit`, another `alg` or `typ`) is refused before any key
    is looked for.
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
