"""The keys of access tokens: one signs, the previous ones verify until their last token has expired."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session as DbSession

from app.models import SigningKey
from app.security.access_tokens import make_key_pair
from app.services.audit import AuditLog
from app.services.lifetimes import Lifetimes

# A process reloads the keys of access tokens at least this often; after that, a retired key signs nowhere.
SEEN_BY_ALL_WITHIN = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True)
class SigningKeys:
    """`secret_keys` are the site's, the current one first."""

    session: DbSession
    audit: AuditLog
    secret_keys: Sequence[str]
    lifetimes: Lifetimes
    clock: Callable[[], datetime]

    @property
    def _matter_for(self) -> timedelta:
        """How long a retired key still verifies."""
        return self.lifetimes.access_token + SEEN_BY_ALL_WITHIN

    def list_all(self) -> list[SigningKey]:
        """The signing key first, then those that still verify."""
        since = self.clock() - self._matter_for
        query = select(SigningKey).where(SigningKey.retired_at.is_(None) | (SigningKey.retired_at > since))
        return list(self.session.scalars(query.order_by(SigningKey.retired_at.is_not(None), SigningKey.id.desc())))

    def find_one_that_signs(self) -> SigningKey | None:
        return next((key for key in self.list_all() if key.retired_at is None), None)

    def rotate(self) -> SigningKey:
        """Sign with a new key from now on, and delete those whose last token has expired."""
        now = self.clock()
        self.session.execute(update(SigningKey).where(SigningKey.retired_at.is_(None)).values(retired_at=now))
        self.session.execute(delete(SigningKey).where(SigningKey.retired_at <= now - self._matter_for))
        pair = make_key_pair(self.secret_keys)
        key = SigningKey(kid=pair.kid, public_jwk=pair.public_jwk, private_jwk=pair.private_jwk, created_at=now)
        self.session.add(key)
        self.session.flush()
        self.audit.record("signing_key.rotated", subject_id=None, kid=key.kid)
        return key
