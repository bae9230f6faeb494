"""One write is one transaction: rows, audit events and jobs commit together or not at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from datetime import tzinfo
from functools import cache
from typing import Any, Generic, TypeVar, cast

from flask import g
from sqlalchemy.orm import Session as DbSession
from sqlalchemy.orm import scoped_session

from app.account.service import Profile
from app.api.service import Idempotency
from app.audit.services.chain import AuditChain
from app.audit.services.log import AuditLog
from app.audit.services.search import AuditSearch
from app.auth.access import AccessKind, CredentialKind
from app.auth.second_factors import FactorKind
from app.auth.services.additions import Additions
from app.auth.services.challenges import Challenges
from app.auth.services.confirmation import Confirmation
from app.auth.services.email_changes import EmailChanges
from app.auth.services.factors import Factors
from app.auth.services.last_seen import LastSeen
from app.auth.services.links import OneTimeLinks
from app.auth.services.password_reset import PasswordReset
from app.auth.services.refresh_tokens import RefreshTokens
from app.auth.services.registration import Registration
from app.auth.services.revocation import Revocation
from app.auth.services.sessions import Sessions
from app.auth.services.sign_in import SignIn
from app.auth.services.throttles import Throttles
from app.core import errors
from app.core.database import one_read, one_write
from app.core.extensions import db, features, now, settings
from app.core.lifetimes import Lifetimes
from app.core.lookups import Source
from app.core.metrics import metrics
from app.core.principal import NO_VISIT, Origin
from app.core.retention import Erasure
from app.core.service import Service, Services
from app.files.service import Files
from app.jobs.notifier import notifier
from app.jobs.services.board import JobBoard
from app.jobs.services.queue import DueJob, JobQueue
from app.jobs.services.schedule import Entry, Schedule
from app.jobs.tasks import Task
from app.mail.services.quota import MailQuota
from app.mail.services.sent_mails import SentMails
from app.site.service import SiteSettings
from app.users.promises import Promises
from app.users.services.bulk_actions import BulkActions
from app.users.services.policy import Policy
from app.users.services.roles import Roles
from app.users.services.search import UserSearch
from app.users.services.users import Users

S = TypeVar("S")


class _Lazy(Generic[S]):
    """An attribute that is computed on first use.

    `functools.cached_property` has a lock that all instances share before Python 3.12: a thread that waits there for
    SQLite's write lock would stop the one that holds it.
    """

    def __init__(self, compute: Callable[[Any], S]) -> None:
        self._compute = compute

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, work: Work, owner: type | None = None) -> S:
        value: S = self._compute(work)
        work.__dict__[self._name] = value
        return value


def _service(kind: type[S]) -> _Lazy[S]:
    """Declare a service of the core as an attribute of `Work`, created on first use."""
    return _Lazy(lambda work: work[kind])


@cache
def _dependencies(kind: type[Any]) -> list[tuple[str, type[Any] | None]]:
    """Return the fields of a service, each with its type if that is a service or settings, and not in `Work`."""
    named = [(field.name, field.type) for field in fields(kind)]
    return [
        (name, of if isinstance(of, type) and issubclass(of, Service | Lifetimes) and name not in vars(Work) else None)
        for name, of in named
    ]


class Work:
    """The services on one session: those of core folders as attributes, all by their class (`work[Invitations]`).

    A service gets its fields from here: services and settings by class, everything else by name.
    """

    def __init__(self, session: DbSession | scoped_session[Any], *, origin: Origin, due_jobs: list[DueJob]) -> None:
        self.session: DbSession = session  # type: ignore[assignment]
        self.origin = origin
        self.clock = now
        self.notify = due_jobs.append
        self.noted: Counter[str] = Counter()
        self.progress_made: dict[str, Any] = {}
        self._services: dict[type[Any], Any] = {}

    def __getitem__(self, kind: type[S]) -> S:
        """Return the service of this class, created on first use, or the settings, typed as those of a feature."""
        if issubclass(kind, Lifetimes):
            return cast(S, settings())
        service: S | None = self._services.get(kind)
        if service is None:
            needed = {
                name: getattr(self, name) if of is None else self[of] for name, of in _dependencies(cast(Any, kind))
            }
            service = self._services[kind] = kind(**needed)
        return service

    @property
    def source(self) -> Source:
        """Return where lookups read: in the transaction, or without one if nothing is written."""
        return one_read() if cast(Any, self.session) is db.session else self.session

    @property
    def lifetimes(self) -> Lifetimes:
        return settings()

    @property
    def entries(self) -> tuple[Entry, ...]:
        return features().schedule

    @property
    def erasures(self) -> Sequence[Erasure]:
        return features().erasures

    @property
    def access(self) -> Sequence[AccessKind]:
        return features().access

    @property
    def credentials(self) -> Sequence[CredentialKind]:
        return features().credentials

    @property
    def factor_kinds(self) -> Mapping[str, FactorKind]:
        return features().factors

    @property
    def promises(self) -> Sequence[Promises]:
        return features().promises

    @property
    def services(self) -> Services:
        return self

    @property
    def secret_keys(self) -> Sequence[str]:
        return settings().signing_keys

    @property
    def zone(self) -> tzinfo:
        return settings().zone

    @property
    def invitations_open(self) -> bool:
        return bool(self.promises) and self.registration_mode != "closed"

    @property
    def registration_open(self) -> bool:
        return self.registration_mode == "open"

    @_Lazy
    def registration_mode(self) -> str:
        """Return `open`, `invite` or `closed`: the administrators' choice, or else the setting."""
        return self[SiteSettings].get().registration or settings().registration

    additions = _service(Additions)
    audit = _service(AuditLog)
    audit_chain = _service(AuditChain)
    audit_search = _service(AuditSearch)
    bulk_actions = _service(BulkActions)
    challenges = _service(Challenges)
    confirmation = _service(Confirmation)
    email_changes = _service(EmailChanges)
    factors = _service(Factors)
    files = _service(Files)
    idempotency = _service(Idempotency)
    job_board = _service(JobBoard)
    job_queue = _service(JobQueue)
    last_seen = _service(LastSeen)
    links = _service(OneTimeLinks)
    mail_quota = _service(MailQuota)
    password_reset = _service(PasswordReset)
    policy = _service(Policy)
    profile = _service(Profile)
    refresh_tokens = _service(RefreshTokens)
    registration = _service(Registration)
    revocation = _service(Revocation)
    roles = _service(Roles)
    schedule = _service(Schedule)
    sent_mails = _service(SentMails)
    sessions = _service(Sessions)
    sign_in = _service(SignIn)
    throttles = _service(Throttles)
    user_search = _service(UserSearch)
    users = _service(Users)

    def progress(self, done: int, total: int | None = None, *, position: dict[str, Any] | None = None) -> None:
        """Set the progress of a job with steps (`total` None: unknown) and its next position, stored when the step
        commits.

        Does nothing outside a step.
        """
        self.progress_made = {"done": done, "total": total, "position": position}

    def enqueue(self, task: Task, *, dedupe_key: str | None = None) -> int | None:
        """Add a job to this transaction; workers are notified after the commit."""
        return self.job_queue.enqueue(task, dedupe_key=dedupe_key)


@contextmanager
def unit_of_work(*, origin: Origin | None = None) -> Iterator[Work]:
    """Commit at the end, roll back on any exception; a CommittedRefusal commits and is then raised.

    The page's read session is closed first: on SQLite, a transaction that has read must not write. Inside another
    (`as_one`) it is part of that one, and only that one commits.
    """
    if (outer := g.get("outer_work")) is not None:
        refusal: errors.CommittedRefusal | None = None
        with outer.session.begin_nested():
            try:
                yield outer
            except errors.CommittedRefusal as raised:
                refusal = raised
        if refusal is not None:
            raise refusal
        return
    db.session.close()
    due_jobs: list[DueJob] = []
    with DbSession(one_write(), expire_on_commit=False) as session:
        work = Work(session, origin=origin or current_origin(), due_jobs=due_jobs)
        try:
            yield work
        except errors.CommittedRefusal:
            session.commit()
            _notify(work, due_jobs)
            raise
        session.commit()
    _notify(work, due_jobs)


def _notify(work: Work, due_jobs: list[DueJob]) -> None:
    notifier.notify(due_jobs)
    metrics.events(work.noted)


@contextmanager
def as_one() -> Iterator[Work]:
    """Join every unit of work inside it to this one, so that all commit together or not at all."""
    with unit_of_work() as work:
        g.outer_work = work
        try:
            yield work
        finally:
            g.pop("outer_work")


def reading() -> Work:
    """Return the services for reading; writing through them raises."""
    return Work(db.session, origin=current_origin(), due_jobs=[])


def current_origin() -> Origin:
    """Return the origin of the request: actor, device and address."""
    origin: Origin = g.get("origin") or Origin(NO_VISIT)
    return origin
