"""Idempotency keys: a repeated request gets the first response (draft-ietf-httpapi-idempotency-key)."""

from datetime import timedelta

from sqlalchemy import delete, select, update

from app.api.models import IdempotentAnswer
from app.core import errors
from app.core.dialects import upsert
from app.core.service import Service

KEPT_FOR = timedelta(hours=24)


class Idempotency(Service):
    def claim(self, *, caller: str, key: str, fingerprint: str) -> IdempotentAnswer | None:
        """Return the stored response, or None for the first request, which then holds the key.

        A second request waits at the unique index until the first has committed or rolled back, so this must be the
        first statement of its transaction. Raises IdempotencyKeyReused for a different request.
        """
        now = self.clock()
        mine = (IdempotentAnswer.caller == caller) & (IdempotentAnswer.key == key)
        self.session.execute(delete(IdempotentAnswer).where(mine, IdempotentAnswer.created_at <= now - KEPT_FOR))
        row = upsert(self.session, IdempotentAnswer).values(
            caller=caller, key=key, fingerprint=fingerprint, status=0, headers={}, body="", created_at=now
        )
        if self.session.execute(row.on_conflict_do_nothing().returning(IdempotentAnswer.id)).first() is not None:
            return None
        stored = self.session.scalars(select(IdempotentAnswer).where(mine)).one()
        if stored.fingerprint != fingerprint:
            raise errors.IdempotencyKeyReused
        return stored

    def release(self, *, caller: str, key: str) -> None:
        """Release the key: the request was refused and can be sent again."""
        self.session.execute(
            delete(IdempotentAnswer).where(IdempotentAnswer.caller == caller, IdempotentAnswer.key == key)
        )

    def store(self, *, caller: str, key: str, status: int, headers: dict[str, str], body: str) -> None:
        """Store the response to the request that holds the key."""
        self.session.execute(
            update(IdempotentAnswer)
            .where(IdempotentAnswer.caller == caller, IdempotentAnswer.key == key)
            .values(status=status, headers=headers, body=body)
        )
