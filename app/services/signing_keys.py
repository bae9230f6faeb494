"""The keys that sign access tokens: one signs, the ones before it verify until their last token has run out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session as DbSession

from app.models import SigningKey
from app.security.access_tokens import make_key_pair
from app.services.audit import AuditLog


class SigningKeys:
    """`keys` are the site's secret keys, the present one first; `matter_for` is how long a retired key verifies."""

    def __init__(
        self,
        session: DbSession,
        *,
        audit: AuditLog,
        keys: Sequence[str],
        matter_for: timedelta,
        clock: Callable[[], datetime],
    ) -> None:
        self._session = session
        self._audit = audit
        self._keys = keys
        self._matter_for = matter_for
        self._clock = clock

    def list_all(self) -> list[SigningKey]:
        """The one that signs first, then those that still verify."""
        since = self._clock() - self._matter_for
        query = select(SigningKey).where(SigningKey.retired_at.is_(None) | (SigningKey.retired_at > since))
        return list(self._session.scalars(query.order_by(SigningKey.retired_at.is_not(None), SigningKey.id.desc())))

    def find_one_that_signs(self) -> SigningKey | None:
        return next((key for key in self.list_all() if key.retired_at is None), None)

    def rotate(self) -> SigningKey:
        """Let a new key sign from now on, and forget those that can matter no more."""
        now = self._clock()
        self._session.execute(update(SigningKey).where(SigningKey.retired_at.is_(None)).values(retired_at=now))
        self._session.execute(delete(SigningKey).where(SigningKey.retired_at <= now - self._matter_for))
        pair = make_key_pair(self._keys)
        key = SigningKey(kid=pair.kid, public_jwk=pair.public_jwk, private_jwk=pair.private_jwk, created_at=now)
        self._session.add(key)
        self._session.flush()
        self._audit.record("signing_key.rotated", subject_id=None, kid=key.kid)
        return key
