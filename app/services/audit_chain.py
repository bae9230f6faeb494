"""The chain of hashes over the audit log, which shows whether an event was altered, removed or put in later.

A scheduled job seals events in batches. A seal holds the hash of each event and the hash of the seal before it, so one
that is known to be right, from the log of this job for example, vouches for all before it. After their retention the
events of a seal are deleted; the seal stays, and the chain with it.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session as DbSession
from sqlalchemy.orm import joinedload

from app.models import AuditDetail, AuditEvent, AuditSeal
from app.services.audit import personal_digest
from app.services.lifetimes import Lifetimes
from app.services.statements import serialise

log = logging.getLogger(__name__)

# Ids are given out before the commit: what is younger may still get an elder.
SETTLED_AFTER = timedelta(minutes=10)
BATCH = 1000
NO_HASH = "0" * 64


@dataclass(frozen=True, slots=True)
class Verdict:
    """`problem` names the first event or seal that is wrong; None if there is none."""

    problem: str | None
    checked: int
    pruned: int
    unsealed: int
    head: str


@dataclass(frozen=True, kw_only=True)
class AuditChain:
    session: DbSession
    lifetimes: Lifetimes
    clock: Callable[[], datetime]

    def seal(self) -> int:
        """Add the next batch of events to the chain; returns how many, at most BATCH."""
        serialise(self.session, "audit chain")
        last = self.session.scalar(select(AuditSeal).order_by(AuditSeal.id.desc()).limit(1))
        after = last.last_id if last else 0
        settled = select(func.max(AuditEvent.id)).where(AuditEvent.at <= self.clock() - SETTLED_AFTER)
        events = self._events(after, self.session.scalar(settled) or 0)
        if not events:
            return 0
        entries = [[event.id, event_hash(event)] for event in events]
        previous = last.hash if last else NO_HASH
        seal = AuditSeal(
            first_id=after + 1,
            last_id=events[-1].id,
            entries=entries,
            previous_hash=previous,
            hash=seal_hash(previous, after + 1, entries),
            sealed_at=self.clock(),
        )
        self.session.add(seal)
        log.info("audit events sealed", extra={"last_id": seal.last_id, "hash": seal.hash})
        return len(events)

    def prune(self) -> int:
        """Delete the events of the oldest seal if all are past their retention; returns how many."""
        if self.lifetimes.audit_event is None:
            return 0
        oldest = select(AuditSeal).where(AuditSeal.pruned_at.is_(None)).order_by(AuditSeal.id).limit(1)
        seal = self.session.scalar(oldest.with_for_update())
        if seal is None:
            return 0
        ids = AuditEvent.id.between(seal.first_id, seal.last_id)
        newest = self.session.scalar(select(func.max(AuditEvent.at)).where(ids))
        if newest is not None and newest > self.clock() - self.lifetimes.audit_event:
            return 0
        seal.pruned_at = self.clock()
        self.session.flush()
        details = delete(AuditDetail).where(AuditDetail.event_id.between(seal.first_id, seal.last_id))
        self.session.execute(details.execution_options(synchronize_session=False))
        self.session.execute(delete(AuditEvent).where(ids).execution_options(synchronize_session=False))
        return len(seal.entries)

    def verify(self) -> Verdict:
        """Check the whole chain against the events."""
        checked, pruned, previous, last_id = 0, 0, NO_HASH, 0
        for seal in self._seals():
            problem = _broken(seal, previous, last_id)
            if problem is None and seal.pruned_at is None:
                problem = self._differing(seal)
            if problem is not None:
                return Verdict(problem, checked, pruned, self._unsealed(last_id), previous)
            if seal.pruned_at is None:
                checked += len(seal.entries)
            else:
                pruned += len(seal.entries)
            previous, last_id = seal.hash, seal.last_id
        return Verdict(None, checked, pruned, self._unsealed(last_id), previous)

    def _seals(self) -> Iterator[AuditSeal]:
        """One at a time, in order."""
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
        """The first event that is not as it was sealed."""
        ids = AuditEvent.id.between(seal.first_id, seal.last_id)
        rows = self.session.scalars(select(AuditEvent).where(ids).options(joinedload(AuditEvent.detail)))
        there = {event.id: event for event in rows}
        sealed = dict(seal.entries)
        for event_id in sorted({*sealed, *there}):
            if event_id not in there:
                return f"Event {event_id} is missing."
            if event_id not in sealed:
                return f"Event {event_id} was put in later."
            if event_hash(there[event_id]) != sealed[event_id]:
                return f"Event {event_id} was altered."
            detail = there[event_id].detail
            if detail and there[event_id].digest != personal_digest(
                detail.salt, detail.address, detail.user_agent, detail.values
            ):
                return f"The details of event {event_id} were altered."
        return None

    def _unsealed(self, last_id: int) -> int:
        return self.session.scalar(select(func.count()).where(AuditEvent.id > last_id)) or 0


def _broken(seal: AuditSeal, previous: str, last_id: int) -> str | None:
    """What is wrong with the seal itself."""
    if seal.previous_hash != previous or seal.first_id != last_id + 1:
        return f"The seal before number {seal.id} is missing or was altered (events up to {seal.first_id - 1})."
    if seal.hash != seal_hash(previous, seal.first_id, seal.entries):
        return f"Seal number {seal.id} was altered (events {seal.first_id} to {seal.last_id})."
    return None


def event_hash(event: AuditEvent) -> str:
    """SHA-256 over the event's columns in a canonical serialisation; the personal values are there as their digest."""
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


def seal_hash(previous: str, first_id: int, entries: list[Any]) -> str:
    return hashlib.sha256(_spelt([previous, first_id, entries])).hexdigest()


def _spelt(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True).encode()
