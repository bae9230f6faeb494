"""A process's copy of the access tokens' keys, reloaded every minute so that changes reach every process."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import uuid4

from flask import current_app

from app.extensions import now, settings
from app.models import SigningKey
from app.security.access_tokens import Access, BadToken, open_private, open_public, read_token, sign
from app.services.signing_keys import SEEN_BY_ALL_WITHIN
from app.unit_of_work import lifetimes_of, reading, unit_of_work

if TYPE_CHECKING:
    from joserfc.jwk import ECKey


@dataclass
class _Held:
    asked_at: datetime
    signing: tuple[str, ECKey] | None = None
    verifying: dict[str, ECKey] = field(default_factory=dict)


def issue(access: Access) -> tuple[str, int]:
    """A new access token, and its lifetime in seconds."""
    kid, key = _one_that_signs()
    lifetime = lifetimes_of(settings()).access_token
    token = sign(access, key=key, kid=kid, issuer=settings().public_url, at=now(), lifetime=lifetime, jti=uuid4().hex)
    return token, int(lifetime.total_seconds())


def read(token: str) -> Access:
    """The claims of the token. Raises BadToken."""
    return read_token(token, find_key=_one_that_verifies, issuer=settings().public_url, at=now())


def _one_that_signs() -> tuple[str, ECKey]:
    held = _held()
    if held.signing is None:
        held = _ask()
    if held.signing is None:
        # There is no key yet, or the secret key has changed and no key decrypts the last one's private half.
        with unit_of_work() as work:
            key = work.signing_keys.rotate()
        held = _ask()
        held.signing = (key.kid, open_private(key.private_jwk, settings().signing_keys))
    return held.signing


def _one_that_verifies(kid: str) -> ECKey | None:
    held = _held()
    if kid not in held.verifying and now() > held.asked_at:
        held = _ask()
    return held.verifying.get(kid)


def _held() -> _Held:
    held: _Held | None = current_app.extensions.get("token_keys")
    return held if held is not None and now() - held.asked_at < SEEN_BY_ALL_WITHIN else _ask()


def _ask() -> _Held:
    keys = reading().signing_keys.list_all()
    held = _Held(asked_at=now(), verifying={key.kid: open_public(key.public_jwk) for key in keys})
    held.signing = next((opened for key in keys if key.retired_at is None and (opened := _opened(key))), None)
    current_app.extensions["token_keys"] = held
    return held


def _opened(key: SigningKey) -> tuple[str, ECKey] | None:
    try:
        return key.kid, open_private(key.private_jwk, settings().signing_keys)
    except BadToken:
        return None
