"""User management for administrators and the command line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session as DbSession
from sqlalchemy.orm import selectinload

from app.errors import EmailTaken, UserNotFound
from app.models import ENDED_BY_SAFETY, MEMBER, AuditDetail, OneTimeLink, Purpose, SentMail, User
from app.services.addresses import searched_address
from app.services.audit import AuditLog
from app.services.email_changes import EmailChanges
from app.services.job_queue import JobQueue
from app.services.links import OneTimeLinks
from app.services.password_policy import NewPassword
from app.services.roles import Roles
from app.services.sessions import Sessions
from app.tasks import SendAccountActivated, SendAccountDeactivated, SendPasswordChanged

# Sorts after every character of an address or a name: the upper bound of a prefix range.
AFTER_ALL = "\U0010ffff"


@dataclass(frozen=True, kw_only=True)
class Users:
    session: DbSession
    audit: AuditLog
    job_queue: JobQueue
    links: OneTimeLinks
    email_changes: EmailChanges
    roles: Roles
    sessions: Sessions
    clock: Callable[[], datetime]

    def get(self, user_id: int, *, lock: bool = False) -> User:
        """With `lock`, the row is locked until the transaction ends. Raises UserNotFound."""
        user = self.session.get(User, user_id, options=[selectinload(User.roles)], with_for_update=lock or None)
        if user is None:
            raise UserNotFound
        return user

    def get_by_email(self, email: str) -> User:
        """`email` is canonical. Raises UserNotFound."""
        user = self.session.scalar(select(User).where(User.email == email).options(selectinload(User.roles)))
        if user is None:
            raise UserNotFound(f"There is no user with the address {email}.")
        return user

    def list(self, *, search: str = "", before: int | None = None, limit: int = 50) -> Sequence[User]:
        """Newest first, those with an id under `before`; `search` is a prefix of an address or a name."""
        query = select(User).options(selectinload(User.roles)).order_by(User.id.desc()).limit(limit)
        if before is not None:
            query = query.where(User.id < before)
        if search:
            begins = searched_address(search)
            query = query.where(
                or_(
                    User.email.between(begins, begins + AFTER_ALL),
                    User.name.between(search, search + AFTER_ALL),
                    User.name.between(search.capitalize(), search.capitalize() + AFTER_ALL),
                )
            )
        return self.session.scalars(query).all()

    def create(self, *, email: str, name: str, roles: Sequence[str] = (), password: NewPassword | None = None) -> User:
        """Create an account with a confirmed address. Raises EmailTaken, RoleNotFound."""
        now = self.clock()
        user = User(
            email=email,
            name=name,
            hashed_password=password.hashed if password else None,
            email_verified_at=now,
            created_at=now,
            updated_at=now,
        )
        try:
            with self.session.begin_nested():
                self.session.add(user)
        except IntegrityError:
            raise EmailTaken(f"There is already a user with the address {email}.") from None
        self.audit.record("user.created", subject_id=user.id, email=email, name=name)
        for role in roles or (MEMBER,):
            self.roles.give(user, role)
        return user

    def edit(self, user: User, *, name: str | None = None, email: str | None = None) -> None:
        """Set what is not None. Raises EmailTaken."""
        if name is not None and name != user.name:
            self.audit.record("user.renamed", subject_id=user.id, before=user.name, after=name)
            user.name = name
        if email is not None and email != user.email:
            before = user.email
            try:
                with self.session.begin_nested():
                    user.email, user.email_verified_at = email, self.clock()
                    self.session.flush()
            except IntegrityError:
                raise EmailTaken(f"There is already a user with the address {email}.") from None
            self.links.end_all(user.id, *Purpose)
            self.email_changes.cancel(user.id)
            self.audit.record("email.changed", subject_id=user.id, before=before, after=email)
        user.updated_at = self.clock()

    def set_password(self, user: User, password: NewPassword) -> None:
        """Replace the password, forget known browsers, end every session and link, and notify the user."""
        user.hashed_password, user.updated_at = password.hashed, self.clock()
        self.links.end_all(user.id, *ENDED_BY_SAFETY)
        self.sessions.forget_devices(user.id)
        self.email_changes.cancel(user.id)
        self.sessions.end_all(user.id, reason="password_changed")
        event_id = self.audit.record("password.changed", subject_id=user.id)
        self.job_queue.enqueue(SendPasswordChanged(user_id=user.id, event_id=event_id))

    def deactivate(self, user: User, *, reason: str) -> None:
        """End every session, link and key of `user` and refuse sign-in, until `activate`. Raises LastAdministrator."""
        self.roles.keep_one_administrator(losing=user)
        user.deactivate(reason=reason, at=self.clock())
        self.sessions.end_all(user.id, reason="deactivated")
        self.links.end_all(user.id, *ENDED_BY_SAFETY)
        self.email_changes.cancel(user.id)
        self.audit.record("user.deactivated", subject_id=user.id, reason=reason)
        self.job_queue.enqueue(SendAccountDeactivated(user_id=user.id))

    def activate(self, user: User) -> None:
        user.activate(at=self.clock())
        self.audit.record("user.activated", subject_id=user.id)
        self.job_queue.enqueue(SendAccountActivated(user_id=user.id))

    def delete(self, user: User) -> None:
        """Erase the user's rows and the personal values of their audit events. Raises LastAdministrator."""
        self.roles.keep_one_administrator(losing=user)
        user_id = user.id
        self.session.execute(delete(AuditDetail).where(AuditDetail.subject_id == user_id))
        self.session.delete(user)
        self.session.flush()
        self.audit.record("user.deleted", subject_id=user_id)

    def make_link(self, user: User, *, lifetime: timedelta) -> tuple[OneTimeLink, str]:
        """A link that sets a new password, for whoever runs the site to pass on; audited."""
        link, token = self.links.issue(Purpose.RESET_PASSWORD, user_id=user.id, address=user.email, lifetime=lifetime)
        self.links.supersede(link)
        self.audit.record("password.link_made", subject_id=user.id)
        return link, token

    def list_mails(self, user_id: int, *, limit: int = 25) -> Sequence[SentMail]:
        return self.session.scalars(
            select(SentMail).where(SentMail.user_id == user_id).order_by(SentMail.id.desc()).limit(limit)
        ).all()
