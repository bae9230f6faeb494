"""The audit log: each event is recorded in the transaction of the change."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import field
from datetime import datetime
from typing import Any

from sqlalchemy import Row, insert, select, update
from sqlalchemy.orm import joinedload

from app.audit.models import AuditDetail, AuditEvent
from app.core.dialects import insert_rows, next_ids, upsert
from app.core.principal import Origin
from app.core.service import Service
from app.core.tokens import new_salt


class AuditLog(Service):
    """Rows are only added. Personal values go into a side row; the event has a salted digest of them.

    `noted` counts the events of this unit of work by kind.
    """

    origin: Origin
    noted: Counter[str] = field(default_factory=Counter)

    def record(
        self,
        kind: str,
        *,
        subject_id: int | None,
        actor_id: int | None = None,
        session_id: int | None = None,
        once: str | None = None,
        **values: Any,
    ) -> int:
        """Add an event and return its id. `values` must not contain secrets.

        The actor is the signed-in user, or `actor_id` for a user who has just used a link or signed in. In an
        impersonator's session, the actor is always the impersonator. A repeated event with the same `once` is counted
        in the existing event.
        """
        principal = self.origin.principal
        if principal is not None:
            is_impersonated = principal.impersonator_id is not None
            actor_id = principal.account_id if is_impersonated else actor_id or principal.account_id
        event, detail = self._rows(kind, subject_id, values, actor_id=actor_id, session_id=session_id)
        add = insert(AuditEvent)
        if once:
            add = upsert(self.session, AuditEvent).on_conflict_do_nothing(index_elements=[AuditEvent.once_key])
        added = self.session.execute(add.returning(AuditEvent.id), event | {"once_key": once})
        event_id: int | None = added.scalar()
        self.noted[kind] += 1
        if event_id is None:
            return self._count_again(once)
        self.session.execute(insert(AuditDetail), detail | {"event_id": event_id})
        return event_id

    def record_all(
        self, kind: str, subjects: Sequence[tuple[int, dict[str, Any]]], *, by_themselves: bool = False
    ) -> None:
        """Record an event of this kind for each subject, with its values, in two statements."""
        if not subjects:
            return
        actor_id = self.origin.principal.account_id if self.origin.principal else None
        rows = [
            self._rows(kind, subject_id, values, actor_id=subject_id if by_themselves else actor_id, session_id=None)
            for subject_id, values in subjects
        ]
        ids = next_ids(self.session, AuditEvent, len(rows))
        insert_rows(self.session, AuditEvent, [row | {"id": id_} for id_, (row, _) in zip(ids, rows, strict=True)])
        details = [detail | {"event_id": id_} for id_, (_, detail) in zip(ids, rows, strict=True)]
        insert_rows(self.session, AuditDetail, details)
        self.noted[kind] += len(details)

    def _rows(
        self,
        kind: str,
        subject_id: int | None,
        values: dict[str, Any],
        *,
        actor_id: int | None,
        session_id: int | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the rows of an event and its details, without IDs."""
        visit, principal, salt = self.origin.visit, self.origin.principal, new_salt()
        values = values | self.origin.values()
        event = {
            "at": self.clock(),
            "kind": kind,
            "actor_id": actor_id,
            "on_behalf_of_id": principal.user_id if principal and principal.impersonator_id else None,
            "subject_id": subject_id,
            "session_id": session_id or (principal.session_id if principal else None) or None,
            "request_id": visit.request_id,
            "digest": personal_digest(salt, visit.address, visit.user_agent, values),
        }
        personal = {"address": visit.address, "user_agent": visit.user_agent, "values": values}
        return event, {"subject_id": subject_id, "salt": salt, **personal}

    def _count_again(self, once: str | None) -> int:
        event_id = self.session.scalars(select(AuditEvent.id).where(AuditEvent.once_key == once)).one()
        self.session.execute(
            update(AuditDetail)
            .where(AuditDetail.event_id == event_id)
            .values(count=AuditDetail.count + 1)
            .execution_options(synchronize_session=False)
        )
        return event_id

    def list_for(self, user_id: int, *, before: int | None = None, limit: int = 25) -> list[AuditEvent]:
        """Return events about `user_id` with an ID below `before`, newest first."""
        query = select(AuditEvent).where(AuditEvent.subject_id == user_id).order_by(AuditEvent.id.desc()).limit(limit)
        if before is not None:
            query = query.where(AuditEvent.id < before)
        return list(self.session.scalars(query.options(joinedload(AuditEvent.detail))))

    def find_last(self, kind: str, *, subject_id: int) -> AuditEvent | None:
        """Return the newest event of this kind about the user `subject_id`."""
        query = select(AuditEvent).where(AuditEvent.subject_id == subject_id, AuditEvent.kind == kind)
        return self.session.scalar(query.order_by(AuditEvent.id.desc()).limit(1).options(joinedload(AuditEvent.detail)))

    def find_sign_in(self, user_id: int, *, before: int) -> Row[datetime, str | None] | None:
        """Return time and address of the last sign-in of a user before the session `before`."""
        query = (
            select(AuditEvent.at, AuditDetail.address)
            .outerjoin(AuditDetail, AuditDetail.event_id == AuditEvent.id)
            .where(AuditEvent.subject_id == user_id, AuditEvent.kind == "session.started")
            .where(AuditEvent.session_id < before)
        )
        return self.session.execute(query.order_by(AuditEvent.id.desc()).limit(1)).first()

    def find(self, event_id: int) -> AuditEvent | None:
        return self.session.get(AuditEvent, event_id, options=[joinedload(AuditEvent.detail)])


def personal_digest(salt: bytes, address: str | None, user_agent: str, values: dict[str, Any]) -> str:
    """Return SHA-256 over the salt and the personal values in a canonical serialization."""
    resource_ref = json.dumps([address, user_agent, values], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(salt + resource_ref.encode()).hexdigest()
