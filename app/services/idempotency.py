"""The first answer again: what was done once under a name is not done twice (draft-ietf-httpapi-idempotency-key)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session as DbSession

from app.errors import IdempotencyKeyReused
from app.models import IdempotentAnswer
from app.services.statements import insert_once

KEPT_FOR = timedelta(hours=24)


class Idempotency:
    def __init__(self, session: DbSession, *, clock: Callable[[], datetime]) -> None:
        self._session = session
        self._clock = clock

    def claim(self, *, caller: str, key: str, fingerprint: str) -> IdempotentAnswer | None:
        """The answer that was given before; None when this request is the first, which then holds the name.

        Whoever comes second waits at the unique index until the first has committed or rolled back, so it must be
        the first statement of the transaction that does the work. Raises IdempotencyKeyReused for another request.
        """
        now = self._clock()
        mine = (IdempotentAnswer.caller == caller) & (IdempotentAnswer.key == key)
        self._session.execute(delete(IdempotentAnswer).where(mine, IdempotentAnswer.created_at <= now - KEPT_FOR))
        row = insert_once(self._session, IdempotentAnswer).values(
            caller=caller, key=key, fingerprint=fingerprint, status=0, headers={}, body="", created_at=now
        )
        if self._session.execute(row.on_conflict_do_nothing().returning(IdempotentAnswer.id)).first() is not None:
            return None
        found = self._session.scalars(select(IdempotentAnswer).where(mine)).one()
        if found.fingerprint != fingerprint:
            raise IdempotencyKeyReused
        return found

    def keep(self, *, caller: str, key: str, status: int, headers: dict[str, str], body: str) -> None:
        """The answer to the request that holds the name."""
        self._session.execute(
            update(IdempotentAnswer)
            .where(IdempotentAnswer.caller == caller, IdempotentAnswer.key == key)
            .values(status=status, headers=headers, body=body)
        )
