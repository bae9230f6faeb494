"""Last-used times of sessions, users and API keys, written in batches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Table, bindparam, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute

from app.auth.access import CredentialKind
from app.auth.models import Session
from app.core.principal import Principal
from app.core.service import Service
from app.users.models import User

# A note is due when what is stored is older than this, and must not wait for others when it is as old as that. Idle
# sessions end by what is stored, so both are at most a quarter of the idle time.
NOTE_AFTER_SECONDS = 300.0
WRITE_AFTER_SECONDS = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """A use of the session `session_id` by its owner, or of an API key; unused IDs are 0."""

    at: datetime
    session_id: int = 0
    user_id: int = 0
    key_id: int = 0

    @staticmethod
    def of(principal: Principal, at: datetime) -> Use:
        if principal.via == "api_key":
            return Use(at=at, key_id=principal.key_id)
        return Use(at=at, session_id=principal.session_id, user_id=principal.account_id)

    def key(self) -> str:
        """Return the name of the used session or key; a later use has the same."""
        return f"{self.session_id}:{self.user_id}:{self.key_id}"

    @staticmethod
    def read(key: str, at: str) -> Use:
        """Raises ValueError for what `key` and `at.isoformat()` never give."""
        session_id, user_id, key_id = (int(part) for part in key.split(":"))
        time = datetime.fromisoformat(at)
        if time.tzinfo is None:
            raise ValueError(at)
        return Use(at=time, session_id=session_id, user_id=user_id, key_id=key_id)


class LastSeen(Service):
    credentials: Sequence[CredentialKind] = ()

    def record(self, uses: Iterable[Use]) -> None:
        """Store the time of each, without changing a version column; one that is stored already stays if it is later.

        A row that another transaction is changing is left out: this never waits, so it is never part of a deadlock.
        """
        uses = list(uses)
        columns: list[tuple[InstrumentedAttribute[Any], str]] = [
            (Session.last_seen_at, "session_id"),
            (User.last_seen_at, "user_id"),
            *((credential.last_used, "key_id") for credential in self.credentials),
        ]
        for column, name in columns:
            times: dict[int, datetime] = {}
            for use in uses:
                row_id = getattr(use, name)
                times[row_id] = max(times.get(row_id, use.at), use.at)
            times.pop(0, None)
            if times:
                table = cast(Table, column.class_.__table__)
                same = table.alias()
                free = select(same.c.id).where(same.c.id == bindparam("row_id")).with_for_update(skip_locked=True)
                older = or_(table.c[column.key].is_(None), table.c[column.key] < bindparam("at"))
                change = update(table).where(table.c.id == free.scalar_subquery(), older)
                self.session.execute(
                    change.values({column.key: bindparam("at")}),
                    [{"row_id": row_id, "at": at} for row_id, at in times.items()],
                )
