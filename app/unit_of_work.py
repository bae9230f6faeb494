"""One write is one transaction: its rows, its audit events and its jobs commit together or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from typing import Any

from flask import g
from sqlalchemy.orm import Session as DbSession
from sqlalchemy.orm import scoped_session

from app.errors import CommittedRefusal
from app.extensions import db, notifier, now, one_write, settings
from app.principal import NOWHERE
from app.services.api_keys import ApiKeys
from app.services.audit import AuditLog, Origin
from app.services.directory import Directory
from app.services.email_changes import EmailChanges
from app.services.housekeeping import Housekeeping
from app.services.idempotency import Idempotency
from app.services.invitations import Invitations
from app.services.job_queue import DueJob, JobQueue
from app.services.lifetimes import Lifetimes
from app.services.links import OneTimeLinks
from app.services.mails import Mails
from app.services.password_reset import PasswordReset
from app.services.profile import Profile
from app.services.refresh_tokens import RefreshTokens
from app.services.registration import Registration
from app.services.roles import Roles
from app.services.sessions import Sessions
from app.services.sign_in import SignIn
from app.services.signing_keys import SigningKeys
from app.services.throttles import Throttles
from app.services.users import Users
from app.settings import Settings
from app.tasks import Task

# A process asks for the keys of access tokens at least this often, so one that was retired is used by nobody after it.
SEEN_BY_ALL_WITHIN = timedelta(minutes=1)


class Work:
    """The services, put together around one session; each is made when first asked for."""

    def __init__(self, session: DbSession | scoped_session[Any], *, origin: Origin, due_jobs: list[DueJob]) -> None:
        self.session: DbSession = session  # type: ignore[assignment]
        self._origin = origin
        self._due_jobs = due_jobs

    @cached_property
    def audit(self) -> AuditLog:
        return AuditLog(self.session, origin=self._origin, clock=now)

    @cached_property
    def job_queue(self) -> JobQueue:
        principal = self._origin.principal
        return JobQueue(
            self.session,
            lifetimes=self.lifetimes,
            clock=now,
            notify=self._due_jobs.append,
            request_id=self._origin.visit.request_id,
            owner_id=principal.user_id if principal else None,
        )

    @cached_property
    def links(self) -> OneTimeLinks:
        return OneTimeLinks(self.session, keys=settings().signing_keys, clock=now)

    @cached_property
    def throttles(self) -> Throttles:
        return Throttles(self.session, lifetimes=self.lifetimes, clock=now)

    @cached_property
    def sessions(self) -> Sessions:
        return Sessions(self.session, audit=self.audit, lifetimes=self.lifetimes, clock=now)

    @cached_property
    def roles(self) -> Roles:
        return Roles(self.session, audit=self.audit, clock=now)

    @cached_property
    def registration(self) -> Registration:
        return Registration(
            self.session,
            audit=self.audit,
            job_queue=self.job_queue,
            links=self.links,
            roles=self.roles,
            lifetimes=self.lifetimes,
            keys=settings().signing_keys,
            is_open=settings().registration == "open",
            clock=now,
        )

    @cached_property
    def sign_in(self) -> SignIn:
        return SignIn(
            self.session,
            audit=self.audit,
            job_queue=self.job_queue,
            sessions=self.sessions,
            throttles=self.throttles,
            clock=now,
        )

    @cached_property
    def password_reset(self) -> PasswordReset:
        return PasswordReset(
            self.session,
            audit=self.audit,
            job_queue=self.job_queue,
            links=self.links,
            changes=self.email_changes,
            registration=self.registration,
            sessions=self.sessions,
            clock=now,
        )

    @cached_property
    def email_changes(self) -> EmailChanges:
        return EmailChanges(self.session, audit=self.audit, links=self.links, lifetimes=self.lifetimes, clock=now)

    @cached_property
    def profile(self) -> Profile:
        return Profile(
            self.session,
            audit=self.audit,
            job_queue=self.job_queue,
            links=self.links,
            changes=self.email_changes,
            sessions=self.sessions,
            clock=now,
        )

    @cached_property
    def users(self) -> Users:
        return Users(
            self.session,
            audit=self.audit,
            job_queue=self.job_queue,
            links=self.links,
            changes=self.email_changes,
            roles=self.roles,
            sessions=self.sessions,
            clock=now,
        )

    @cached_property
    def directory(self) -> Directory:
        return Directory(self.session)

    @cached_property
    def invitations(self) -> Invitations:
        return Invitations(
            self.session, audit=self.audit, job_queue=self.job_queue, links=self.links, roles=self.roles, clock=now
        )

    @cached_property
    def signing_keys(self) -> SigningKeys:
        return SigningKeys(
            self.session,
            audit=self.audit,
            keys=settings().signing_keys,
            matter_for=self.lifetimes.access_token + SEEN_BY_ALL_WITHIN,
            clock=now,
        )

    @cached_property
    def refresh_tokens(self) -> RefreshTokens:
        return RefreshTokens(
            self.session,
            audit=self.audit,
            job_queue=self.job_queue,
            sessions=self.sessions,
            keys=settings().signing_keys,
            idle=self.lifetimes.remember_idle,
            clock=now,
        )

    @cached_property
    def api_keys(self) -> ApiKeys:
        return ApiKeys(self.session, audit=self.audit, job_queue=self.job_queue, clock=now)

    @cached_property
    def idempotency(self) -> Idempotency:
        return Idempotency(self.session, clock=now)

    @cached_property
    def mails(self) -> Mails:
        return Mails(self.session, lifetimes=self.lifetimes, clock=now)

    @cached_property
    def housekeeping(self) -> Housekeeping:
        return Housekeeping(self.session, lifetimes=self.lifetimes, clock=now)

    @cached_property
    def lifetimes(self) -> Lifetimes:
        return lifetimes_of(settings())

    def enqueue(self, task: Task, *, dedupe_key: str | None = None) -> int | None:
        """Add a job to this transaction; a worker is called once it has committed."""
        return self.job_queue.enqueue(task, dedupe_key=dedupe_key)


@contextmanager
def unit_of_work(*, origin: Origin | None = None) -> Iterator[Work]:
    """Commit on leaving, roll back on any exception; a CommittedRefusal commits and is then raised.

    The page's reading session is closed first: on SQLite, what has read must not turn into what writes. Inside
    another (`as_one`) it is a part of that one, which alone commits.
    """
    if (outer := g.get("outer_work")) is not None:
        with outer.session.begin_nested():
            yield outer
        return
    db.session.close()
    due_jobs: list[DueJob] = []
    with DbSession(one_write(), expire_on_commit=False) as session:
        work = Work(session, origin=origin or current_origin(), due_jobs=due_jobs)
        try:
            yield work
        except CommittedRefusal:
            session.commit()
            notifier.notify(due_jobs)
            raise
        session.commit()
    notifier.notify(due_jobs)


@contextmanager
def as_one() -> Iterator[Work]:
    """Make every unit of work inside it a part of this one, so that all of it commits or nothing."""
    with unit_of_work() as work:
        g.outer_work = work
        try:
            yield work
        finally:
            g.pop("outer_work")


def reading() -> Work:
    """The same services for looking only; a write through them is refused."""
    return Work(db.session, origin=current_origin(), due_jobs=[])


def current_origin() -> Origin:
    """Who acts, as the entry point has noted it."""
    origin: Origin = g.get("origin") or Origin(NOWHERE)
    return origin


def lifetimes_of(settings: Settings) -> Lifetimes:
    return Lifetimes(
        session_idle=timedelta(minutes=settings.session_idle_minutes),
        session_absolute=timedelta(hours=settings.session_absolute_hours),
        remember_idle=timedelta(days=settings.remember_idle_days),
        remember_absolute=timedelta(days=settings.remember_absolute_days),
        verify_link=timedelta(hours=settings.verify_link_hours),
        reset_link=timedelta(minutes=settings.reset_link_minutes),
        email_change_link=timedelta(hours=settings.email_change_link_hours),
        email_undo_link=timedelta(days=settings.email_undo_link_days),
        unconfirmed_account=timedelta(days=settings.unconfirmed_account_days),
        invitation_link=timedelta(days=settings.invitation_days),
        access_token=timedelta(minutes=settings.access_token_minutes),
        job_lease=timedelta(seconds=settings.job_lease_seconds),
        notify_again=timedelta(seconds=settings.notify_again_seconds),
        finished_job=timedelta(days=settings.finished_job_days),
        sent_mail=timedelta(days=settings.sent_mail_days),
        mails_per_hour=settings.mails_per_address_per_hour,
        sessions_per_user=settings.sessions_per_user,
        free_tries=settings.sign_in_free_tries,
        longest_delay=timedelta(minutes=settings.sign_in_delay_max_minutes),
    )
