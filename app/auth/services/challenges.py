"""Challenges: single-use values that a browser holds in its signed cookie, spent in the database."""

from datetime import datetime, timedelta

from app.auth.models import SpentChallenge
from app.core import errors
from app.core.dialects import upsert
from app.core.service import Service
from app.core.tokens import token_hash

LIVES = timedelta(minutes=10)


class Challenges(Service):
    def spend(self, challenge: str, *, begun_at: datetime) -> None:
        """Spend a challenge that was issued at `begun_at`; a unique index decides races. Raises InvalidChallenge.

        The cookie alone could be replayed with the same response.
        """
        expires_at = begun_at + LIVES
        if expires_at <= self.clock():
            raise errors.InvalidChallenge
        row = upsert(self.session, SpentChallenge).values(challenge_hash=token_hash(challenge), expires_at=expires_at)
        if self.session.execute(row.on_conflict_do_nothing().returning(SpentChallenge.id)).scalar() is None:
            raise errors.InvalidChallenge
