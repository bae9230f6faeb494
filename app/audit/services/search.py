"""Search of the audit log by actor, affected user, kind and time, newest first."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, select
from sqlalchemy.orm import aliased

from app.audit.models import AuditDetail, AuditEvent
from app.core import errors
from app.core.service import Service
from app.users.models import User

CHUNK = 1000
# How far the clocks of two servers may differ: an event with a lower id is later by this at most.
SKEW = timedelta(minutes=10)
Actor, Behalf, Subject = aliased(User), aliased(User), aliased(User)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """`since` is included, `until` is not; `before` is the id that an earlier page ended with. Raises InvalidPeriod."""

    actor_id: int | None = None
    subject_id: int | None = None
    kind: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    before: int | None = None

    def __post_init__(self) -> None:
        if self.since and self.until and self.since >= self.until:
            raise errors.InvalidPeriod


@dataclass(frozen=True, slots=True)
class FoundEvent:
    """An event with the current email addresses and names of its users, None for permanently deleted users."""

    id: int
    at: datetime
    kind: str
    actor_id: int | None
    actor: str | None
    on_behalf_of_id: int | None
    on_behalf_of: str | None
    subject_id: int | None
    subject: str | None
    session_id: int | None
    request_id: str | None
    address: str | None
    user_agent: str | None
    values: dict[str, Any]
    count: int


class AuditSearch(Service):
    def page(self, filters: AuditFilter, *, limit: int) -> list[FoundEvent]:
        """Return a page in one statement."""
        return [_event_of(row) for row in self.session.execute(self._query(filters).limit(limit))]

    def walk(self, filters: AuditFilter) -> Iterator[FoundEvent]:
        """Yield all matches, read CHUNK at a time."""
        before = filters.before
        while True:
            query = self._query(filters)
            query = query if before is None else query.where(AuditEvent.id < before)
            rows = self.session.execute(query.limit(CHUNK)).all()
            yield from map(_event_of, rows)
            self.session.rollback()  # No transaction stays open between two chunks.
            if len(rows) < CHUNK:
                return
            before = rows[-1].id

    def find_user_id(self, email: str) -> int | None:
        """Return the ID of the user with this canonical address."""
        return self.session.scalar(select(User.id).where(User.email == email))

    def _query(self, filters: AuditFilter) -> Select[*tuple[Any, ...]]:
        query = (
            select(
                AuditEvent.id,
                AuditEvent.at,
                AuditEvent.kind,
                AuditEvent.actor_id,
                Actor.email.label("actor"),
                AuditEvent.on_behalf_of_id,
                Behalf.email.label("on_behalf_of"),
                AuditEvent.subject_id,
                Subject.email.label("subject"),
                AuditEvent.session_id,
                AuditEvent.request_id,
                AuditDetail.address,
                AuditDetail.user_agent,
                AuditDetail.values,
                AuditDetail.count,
            )
            .outerjoin(AuditDetail, AuditDetail.event_id == AuditEvent.id)
            .outerjoin(Actor, Actor.id == AuditEvent.actor_id)
            .outerjoin(Behalf, Behalf.id == AuditEvent.on_behalf_of_id)
            .outerjoin(Subject, Subject.id == AuditEvent.subject_id)
            .order_by(AuditEvent.id.desc())
        )
        for column, value in (
            (AuditEvent.actor_id, filters.actor_id),
            (AuditEvent.subject_id, filters.subject_id),
            (AuditEvent.kind, filters.kind),
        ):
            if value is not None:
                query = query.where(column == value)
        if filters.before is not None:
            query = query.where(AuditEvent.id < filters.before)
        # Times as ids too, so that the walk along the ids begins and ends where it should.
        if filters.since is not None:
            first = _ids(AuditEvent.at >= shifted(filters.since, -SKEW)).order_by(AuditEvent.at, AuditEvent.id)
            query = query.where(AuditEvent.id >= first.limit(1).scalar_subquery(), AuditEvent.at >= filters.since)
        if filters.until is not None:
            last = _ids(AuditEvent.at < shifted(filters.until, SKEW)).order_by(
                AuditEvent.at.desc(), AuditEvent.id.desc()
            )
            query = query.where(AuditEvent.id <= last.limit(1).scalar_subquery(), AuditEvent.at < filters.until)
        return query


def shifted(at: datetime, by: timedelta) -> datetime:
    """Return the shifted time, or `at` where the sum would leave the years 1 to 9999."""
    try:
        return at + by
    except OverflowError:
        return at


def _ids(condition: ColumnElement[bool]) -> Select[int]:
    return select(AuditEvent.id).where(condition)


def _event_of(row: Row[*tuple[Any, ...]]) -> FoundEvent:
    columns = row._mapping
    return FoundEvent(**{**columns, "values": columns["values"] or {}, "count": columns["count"] or 1})
