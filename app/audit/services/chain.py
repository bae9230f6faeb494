"""The hash chain over the audit log, which shows whether an event was changed, removed or inserted later.

A scheduled job seals events in batches. A seal contains the hash of each event and of the previous seal, so one seal
that is known to be right (for example from the log of this job) proves all events before it. When events reach their
retention they are deleted, and their seal stays. Each seal attests the retention at that time: events that are missing
without such a retention were removed.
"""

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from sqlalchemy import delete, func, select, text
from sqlalchemy.orm import joinedload

from app.audit.models import AuditDetail, AuditEvent, AuditSeal
from app.audit.services.log import personal_digest
from app.core.dialects import advisory_lock
from app.core.lifetimes import Lifetimes
from app.core.service import Service
from app.users.models import User

log = logging.getLogger(__name__)

# PostgreSQL assigns ids before the commit, so a lower id may appear later.
SETTLED_AFTER = timedelta(minutes=10)
BATCH = 1000
NO_HASH = "0" * 64
MAX_ROLLED_BACK_IDS = 100  # Ids of rolled-back transactions at the start of the log, on PostgreSQL.
VERSION = 2
# Before this kind of event was introduced, `user.deleted` was the erasure.
ERASURES = ("user.erased", "user.deleted")


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of a verification; `problem` names the first wrong event or seal, or is None."""

    problem: str | None
    checked: int
    pruned: int
    unsealed: int
    head: str


@dataclass(frozen=True, slots=True)
class _Link:
    """A seal as the check of pruned seals needs it; `attested` is a retention and the last seal pruned by then."""

    id: int
    last_id: int
    sealed_at: datetime
    pruned_at: datetime | None
    attested: tuple[int, int] | None

    @classmethod
    def of(cls, seal: AuditSeal) -> Self:
        """Return the hash; version 1 covers no retention, so its seals attest none."""
        is_covered = seal.version != 1 and seal.retention_days is not None and seal.pruned_through is not None
        attested = (seal.retention_days or 0, seal.pruned_through or 0) if is_covered else None
        return cls(seal.id, seal.last_id, seal.sealed_at, seal.pruned_at, attested)


@dataclass(slots=True)
class _Walk:
    """How far the chain was checked."""

    checked: int = 0
    pruned: int = 0
    head: str = NO_HASH
    first_id: int | None = None
    last_id: int = 0
    has_known_head: bool = False
    links: list[_Link] = field(default_factory=list)


class AuditChain(Service):
    lifetimes: Lifetimes

    def seal(self) -> int:
        """Add the next batch of events to the chain; returns how many, at most BATCH."""
        advisory_lock(self.session, "audit chain")
        last = self._last()
        after = last.last_id if last else 0
        settled = select(func.max(AuditEvent.id)).where(AuditEvent.at <= self.clock() - SETTLED_AFTER)
        events = self._events(after, self.session.scalar(settled) or 0)
        if not events:
            return 0
        pruned = select(func.max(AuditSeal.last_id)).where(AuditSeal.pruned_at.is_not(None))
        seal = AuditSeal(
            first_id=after + 1,
            last_id=events[-1].id,
            entries=[[event.id, event_hash(event)] for event in events],
            previous_hash=last.hash if last else NO_HASH,
            sealed_at=self.clock(),
            version=VERSION,
            retention_days=self._retention_days(),
            pruned_through=self.session.scalar(pruned) or 0,
        )
        seal.hash = seal_hash(seal)
        self.session.add(seal)
        log.info("audit events sealed", extra={"last_id": seal.last_id, "hash": seal.hash})
        return len(events)

    def prune(self) -> int:
        """Delete the events of the oldest seal if it is older than their retention; returns how many.

        A retention that was shortened counts once a seal attests it.
        """
        last, days = self._last(), self._retention_days()
        attested = last.retention_days if last is not None else None
        if not days or not attested:
            return 0
        oldest = select(AuditSeal).where(AuditSeal.pruned_at.is_(None)).order_by(AuditSeal.id).limit(1)
        seal = self.session.scalar(oldest.with_for_update())
        if seal is None or seal.sealed_at + timedelta(days=max(days, attested)) > self.clock():
            return 0
        seal.pruned_at = self.clock()
        self.session.flush()
        details = delete(AuditDetail).where(AuditDetail.event_id.between(seal.first_id, seal.last_id))
        self.session.execute(details.execution_options(synchronize_session=False))
        events = delete(AuditEvent).where(AuditEvent.id.between(seal.first_id, seal.last_id))
        self.session.execute(events.execution_options(synchronize_session=False))
        return len(seal.entries)

    def head(self) -> tuple[str, int]:
        """Return the hash of the last seal and the id of its last event, to be stored elsewhere and compared by
        `verify`.
        """
        last = self._last()
        return (last.hash, last.last_id) if last is not None else (NO_HASH, 0)

    def verify(self, *, head: str | None = None) -> Verification:
        """Verify the whole chain against the events, and that a stored `head` is part of it."""
        walk = _Walk(has_known_head=head in {None, NO_HASH})
        problem = self._walk(walk, head) or self._wrongly_pruned(walk.links) or self._misplaced(walk)
        if problem is None and not walk.has_known_head:
            problem = f"No seal has the hash {head}: the chain was made anew since."
        return Verification(problem, walk.checked, walk.pruned, self._unsealed(walk.last_id), walk.head)

    def _walk(self, walk: _Walk, head: str | None) -> str | None:
        """Return the first seal or event that does not match."""
        for seal in self._seals():
            problem = _broken(seal, walk.head, walk.last_id)
            if problem is None and seal.pruned_at is None:
                problem = self._differing(seal)
            if problem is not None:
                return problem
            if seal.pruned_at is None:
                walk.checked += len(seal.entries)
            else:
                walk.pruned += len(seal.entries)
            walk.head, walk.last_id = seal.hash, seal.last_id
            walk.has_known_head |= seal.hash == head
            walk.first_id = walk.first_id or next((number for number, _ in seal.entries), None)
            walk.links.append(_Link.of(seal))
        return None

    def _wrongly_pruned(self, links: Sequence[_Link]) -> str | None:
        """Return the first pruned seal that no retention explains, or None.

        The last seal before the pruning must attest a retention that had passed by then. Seals pruned before the first
        attesting seal must be attested by it.
        """
        attesting = [(link.sealed_at, *link.attested) for link in links if link.attested is not None]
        is_kept = False
        for link in links:
            if link.pruned_at is None:
                is_kept = True
                continue
            before = [days for sealed_at, days, _ in attesting if sealed_at <= link.pruned_at]
            if not before:
                is_allowed = bool(attesting) and attesting[0][2] >= link.last_id
            else:
                days = before[-1]
                is_allowed = days > 0 and link.sealed_at + timedelta(days=days) <= link.pruned_at <= self.clock()
            if is_kept or not is_allowed:
                return f"The events of seal number {link.id} were removed before their retention had passed."
        return None

    def _misplaced(self, walk: _Walk) -> str | None:
        """Return a problem with events that no seal can contain, or that are missing before the first seal."""
        misplaced = self.session.scalar(select(func.min(AuditEvent.id)).where(AuditEvent.id < 1))
        if misplaced is not None:
            return f"Event {misplaced} was put in later."
        first = walk.first_id or self.session.scalar(select(func.min(AuditEvent.id))) or self._next_id()
        # Only PostgreSQL keeps the ids of transactions that were rolled back.
        rolled_back = 0 if self.session.get_bind().dialect.name == "sqlite" else MAX_ROLLED_BACK_IDS
        return f"The events before number {first} are missing." if first > 1 + rolled_back else None

    def _next_id(self) -> int:
        """Return the ID of the next event."""
        connection = self.session.connection()
        if connection.dialect.name == "sqlite":
            last = connection.scalar(text("SELECT seq FROM sqlite_sequence WHERE name = 'audit_events'"))
            return (last or 0) + 1
        last = text("SELECT pg_sequence_last_value(pg_get_serial_sequence('audit_events', 'id')::regclass)")
        return (connection.scalar(last) or 0) + 1

    def _last(self) -> AuditSeal | None:
        return self.session.scalar(select(AuditSeal).order_by(AuditSeal.id.desc()).limit(1))

    def _retention_days(self) -> int:
        """Return the retention in days; 0 means forever."""
        return self.lifetimes.audit_event_days

    def _seals(self) -> Iterator[AuditSeal]:
        """Yield seals in order, one at a time."""
        seal_id = 0
        while seal := self.session.scalar(
            select(AuditSeal).where(AuditSeal.id > seal_id).order_by(AuditSeal.id).limit(1)
        ):
            yield seal
            seal_id = seal.id
            self.session.expunge_all()

    def _events(self, after: int, up_to: int) -> list[AuditEvent]:
        query = select(AuditEvent).where(AuditEvent.id > after, AuditEvent.id <= up_to)
        return list(self.session.scalars(query.order_by(AuditEvent.id).limit(BATCH)))

    def _differing(self, seal: AuditSeal) -> str | None:
        """Return the first event that does not match its seal."""
        ids = AuditEvent.id.between(seal.first_id, seal.last_id)
        rows = self.session.scalars(select(AuditEvent).where(ids).options(joinedload(AuditEvent.detail)))
        there = {event.id: event for event in rows}
        sealed = dict(seal.entries)
        erased = self._erased({event.subject_id for event in there.values() if event.detail is None})
        for event_id in sorted({*sealed, *there}):
            if event_id not in there:
                return f"Event {event_id} is missing."
            if event_id not in sealed:
                return f"Event {event_id} was put in later."
            event = there[event_id]
            if event_hash(event) != sealed[event_id]:
                return f"Event {event_id} was altered."
            detail = event.detail
            if detail is None and event.subject_id not in erased:
                return f"The details of event {event_id} are missing."
            if detail and event.digest != personal_digest(
                detail.salt, detail.address, detail.user_agent, detail.values
            ):
                return f"The details of event {event_id} were altered."
        return None

    def _erased(self, user_ids: set[int | None]) -> set[int | None]:
        """Return those of the users that were permanently deleted, according to an event."""
        if not user_ids:
            return set()
        events = select(AuditEvent.subject_id).where(AuditEvent.subject_id.in_(user_ids), AuditEvent.kind.in_(ERASURES))
        still_there = select(User.id).where(User.id == AuditEvent.subject_id).exists()
        return set(self.session.scalars(events.where(~still_there).distinct()))

    def _unsealed(self, last_id: int) -> int:
        return self.session.scalar(select(func.count()).where(AuditEvent.id > last_id)) or 0


def _broken(seal: AuditSeal, previous: str, last_id: int) -> str | None:
    """Return the problem of a seal itself, or None."""
    if seal.previous_hash != previous or seal.first_id != last_id + 1:
        return f"The seal before number {seal.id} is missing or was altered (events up to {seal.first_id - 1})."
    if seal.hash != seal_hash(seal):
        return f"Seal number {seal.id} was altered (events {seal.first_id} to {seal.last_id})."
    return None


def event_hash(event: AuditEvent) -> str:
    """Return SHA-256 over the event's columns in a canonical serialization, with personal values as digest."""
    columns = [
        event.id,
        event.at.astimezone(UTC).isoformat(timespec="microseconds"),
        event.kind,
        event.actor_id,
        event.on_behalf_of_id,
        event.subject_id,
        event.session_id,
        event.request_id,
        event.digest,
        event.once_key,
    ]
    return hashlib.sha256(_spelt(columns)).hexdigest()


def seal_hash(seal: AuditSeal) -> str:
    """Return SHA-256 over the contents of a seal of its version, or a different value for an unknown version."""
    covered: list[Any] = [seal.previous_hash, seal.first_id, seal.entries]
    if seal.version != 1:
        at = seal.sealed_at.astimezone(UTC).isoformat(timespec="microseconds")
        covered = [VERSION, *covered, seal.last_id, at, seal.retention_days, seal.pruned_through]
    return hashlib.sha256(_spelt(covered)).hexdigest()


def _spelt(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True).encode()
