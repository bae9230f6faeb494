"""Invitations: accounts whose owner sets name and password with a link in a mail."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session as DbSession

from app.errors import DeadLink, EmailTaken
from app.models import MEMBER, Purpose, User
from app.principal import Principal
from app.services.audit import AuditLog
from app.services.job_queue import JobQueue
from app.services.links import OneTimeLinks
from app.services.password_policy import NewPassword
from app.services.roles import Roles
from app.tasks import SendInvitation


@dataclass(frozen=True, kw_only=True)
class Invitations:
    session: DbSession
    audit: AuditLog
    job_queue: JobQueue
    links: OneTimeLinks
    roles: Roles
    clock: Callable[[], datetime]

    def invite(self, *, email: str, name: str, roles: Sequence[str], by: Principal) -> User:
        """Create an account, and the job that sends the invitation. `email` is canonical.

        Raises EmailTaken, RoleNotFound, NotAllowed for a role that holds more than `by` does.
        """
        now = self.clock()
        user = User(email=email, name=name, hashed_password=None, created_at=now, updated_at=now)
        try:
            with self.session.begin_nested():
                self.session.add(user)
        except IntegrityError:
            user = self._take_over(email, name)
        self.audit.record("user.invited", subject_id=user.id, email=email, name=name)
        for role in roles or (MEMBER,):
            self.roles.give(user, role, by=by)
        self.job_queue.enqueue(SendInvitation(user_id=user.id, inviter_id=by.user_id))
        return user

    def _take_over(self, email: str, name: str) -> User:
        """Take over an account with this address that was never confirmed. Raises EmailTaken."""
        known = select(User).where(User.email == email).with_for_update()
        user = self.session.scalars(known).one()
        if user.is_verified() or not user.is_active or user.hashed_password is None:
            raise EmailTaken
        user.name, user.hashed_password, user.created_at = name, None, self.clock()
        return user

    def get_invited(self, token: str) -> User:
        """The user that a valid link invites. Raises DeadLink."""
        link = self.links.get_live(token, Purpose.INVITATION)
        user = self.session.scalar(select(User).where(User.id == link.user_id, User.email == link.address))
        if user is None or not user.is_active or user.is_verified():
            raise DeadLink
        return user

    def accept(self, token: str, *, name: str, password: NewPassword) -> User:
        """Set name and password, and confirm the address. Raises DeadLink."""
        link = self.links.spend(token, Purpose.INVITATION)
        query = select(User).where(User.id == link.user_id, User.email == link.address, User.is_active)
        user = self.session.scalar(query.with_for_update())
        if user is None or user.is_verified():
            raise DeadLink
        now = self.clock()
        user.name, user.hashed_password = name, password.hashed
        user.email_verified_at = user.updated_at = now
        self.links.end_all(user.id, *Purpose)
        self.audit.record("invitation.accepted", subject_id=user.id, actor_id=user.id)
        return user
