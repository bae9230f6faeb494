from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.core.lengths import MAX_USER_AGENT_LENGTH
from app.core.models import Base, BigId


class AuditEvent(Base):
    """An event with its actor and affected user, as ids and kinds. Rows are never changed: triggers refuse it.

    `actor_id` and `subject_id` are not foreign keys, because events outlive users. `digest` is a salted SHA-256 of the
    personal values, which are in a side row that can be deleted. An event with a `once_key` stands for all events with
    that key; the side row counts them.
    """

    __tablename__ = "audit_events"
    __table_args__ = (
        Index("ix_audit_events_subject_id", "subject_id", "id"),
        Index("ix_audit_events_actor_id", "actor_id", "id"),
        Index("ix_audit_events_kind", "kind", "id"),
        Index("ix_audit_events_at", "at", "id"),
        Index("uq_audit_events_once_key", "once_key", unique=True),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    at: Mapped[datetime]
    kind: Mapped[str] = mapped_column(String(64))
    actor_id: Mapped[int | None] = mapped_column(BigId)
    # The user whom the actor impersonated.
    on_behalf_of_id: Mapped[int | None] = mapped_column(BigId)
    subject_id: Mapped[int | None] = mapped_column(BigId)
    session_id: Mapped[int | None] = mapped_column(BigId)
    request_id: Mapped[str | None] = mapped_column(String(64))
    digest: Mapped[str] = mapped_column(String(64))
    once_key: Mapped[str | None] = mapped_column(String(128))

    detail: Mapped[AuditDetail | None] = relationship(back_populates="event", lazy="raise")


class AuditDetail(Base):
    """The personal values of an event: address, browser, values before and after, and the salt of its digest."""

    __tablename__ = "audit_details"

    event_id: Mapped[int] = mapped_column(BigId, ForeignKey("audit_events.id"), primary_key=True)
    subject_id: Mapped[int | None] = mapped_column(BigId, index=True)
    salt: Mapped[bytes] = mapped_column(LargeBinary(16))
    address: Mapped[str | None] = mapped_column(String(45))
    user_agent: Mapped[str] = mapped_column(String(MAX_USER_AGENT_LENGTH), default="")
    values: Mapped[dict[str, Any]]
    count: Mapped[int] = mapped_column(default=1, server_default="1")

    event: Mapped[AuditEvent] = relationship(back_populates="detail")


class AuditSeal(Base):
    """A batch of events in the hash chain (`app/audit/services/chain.py`).

    `entries` has the id and the hash of each event. The events of a pruned seal were deleted after their retention;
    triggers refuse any other change of a seal, and any other deletion of events. `version` defines what `hash` covers;
    from 2 on also `sealed_at`, the `retention_days` of that time (0: unlimited) and the last event pruned by then.
    """

    __tablename__ = "audit_seals"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    first_id: Mapped[int]
    last_id: Mapped[int] = mapped_column(unique=True)
    entries: Mapped[list[Any]] = mapped_column(JSON)
    previous_hash: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))
    sealed_at: Mapped[datetime]
    pruned_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(server_default="1")
    retention_days: Mapped[int | None]
    pruned_through: Mapped[int | None]
