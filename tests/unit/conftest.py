"""Services with a database in memory: no Flask, no queue."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Literal

import pytest
from sqlalchemy import create_engine, event
from sqlalchemy.orm import Session

from app.audit.services.log import AuditLog
from app.auth.services.links import OneTimeLinks
from app.auth.services.sessions import Sessions
from app.auth.services.throttles import Throttles
from app.core.lifetimes import Lifetimes
from app.core.models import Base, complete_indexes
from app.core.principal import Origin, Principal, Visit
from app.features import load_features
from app.jobs.services.board import JobBoard
from app.jobs.services.queue import DueJob, JobQueue
from app.users.models import ADMINISTRATOR, MEMBER, Role, User
from app.users.services.policy import Policy
from app.users.services.roles import Roles
from tests.support.clock import Clock

KEYS = ("the present signing key of these tests", "the signing key of last month")


@pytest.fixture
def session() -> Iterator[Session]:
    engine = create_engine("sqlite://")

    @event.listens_for(engine, "connect")
    def _keep_references(connection, _):
        connection.execute("PRAGMA foreign_keys=ON")

    complete_indexes("sqlite")
    Base.metadata.create_all(engine)
    with Session(engine, expire_on_commit=False) as session:
        now = Clock().now
        session.add(Role(name=ADMINISTRATOR, permissions=["*"], created_at=now))
        session.add(Role(name=MEMBER, permissions=[], created_at=now))
        session.flush()
        yield session
    engine.dispose()


@pytest.fixture
def lifetimes() -> Lifetimes:
    return Lifetimes()


@pytest.fixture
def origin() -> Origin:
    return Origin(Visit(address="203.0.113.7", user_agent="Firefox", request_id="r-1"))


@pytest.fixture
def audit(session: Session, origin: Origin, clock: Clock) -> AuditLog:
    return AuditLog(session=session, origin=origin, clock=clock)


@pytest.fixture
def due_jobs() -> list[DueJob]:
    return []


@pytest.fixture
def job_queue(session: Session, lifetimes: Lifetimes, origin: Origin, clock: Clock, due_jobs: list[DueJob]) -> JobQueue:
    return JobQueue(session=session, lifetimes=lifetimes, origin=origin, clock=clock, notify=due_jobs.append)


@pytest.fixture
def job_board(
    session: Session, audit: AuditLog, lifetimes: Lifetimes, clock: Clock, due_jobs: list[DueJob]
) -> JobBoard:
    return JobBoard(session=session, audit=audit, lifetimes=lifetimes, clock=clock, notify=due_jobs.append)


@pytest.fixture
def links(session: Session, clock: Clock) -> OneTimeLinks:
    return OneTimeLinks(session=session, secret_keys=KEYS, clock=clock)


@pytest.fixture
def throttles(session: Session, lifetimes: Lifetimes, clock: Clock) -> Throttles:
    return Throttles(session=session, lifetimes=lifetimes, clock=clock)


@pytest.fixture
def policy(session: Session, audit: AuditLog, lifetimes: Lifetimes, clock: Clock) -> Policy:
    return Policy(session=session, audit=audit, lifetimes=lifetimes, promises=load_features().promises, clock=clock)


@pytest.fixture
def roles(session: Session, audit: AuditLog, policy: Policy, clock: Clock) -> Roles:
    return Roles(session=session, audit=audit, policy=policy, clock=clock)


@pytest.fixture
def sessions(session: Session, audit: AuditLog, lifetimes: Lifetimes, clock: Clock) -> Sessions:
    return Sessions(session=session, audit=audit, lifetimes=lifetimes, clock=clock)


@pytest.fixture
def ada(session: Session, clock: Clock) -> User:
    return add_user(session, "ada@example.com", at=clock.now)


def add_user(session: Session, email: str, *, at: datetime, is_verified: bool = True) -> User:
    user = User(email=email, created_at=at, updated_at=at, email_verified_at=at if is_verified else None)
    session.add(user)
    session.flush()
    return user


def principal_of(
    user: User,
    *,
    session_id: int = 1,
    at: datetime,
    permissions: Iterable[str] = (),
    via: Literal["cookie", "access_token", "api_key"] = "cookie",
    impersonator_id: int | None = None,
) -> Principal:
    return Principal(
        user_id=user.id,
        name=user.name,
        email=user.email,
        member_since=user.created_at,
        roles=(),
        permissions=frozenset(permissions),
        session_id=session_id,
        authenticated_at=at,
        confirmed_at=at,
        via=via,
        impersonator_id=impersonator_id,
    )
