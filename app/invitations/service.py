"""Invitations: accounts whose owner sets name and password with a link, and gets the invited roles."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from sqlalchemy import Select, delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import joinedload, selectinload

from app.audit.services.log import AuditLog
from app.auth.models import Purpose
from app.auth.services.confirmation import Confirmation
from app.auth.services.links import OneTimeLinks
from app.auth.services.password_policy import NewPassword
from app.core import errors
from app.core.dialects import insert_rows
from app.core.lifetimes import Lifetimes
from app.core.principal import Actor, Operator
from app.core.service import Service
from app.invitations.emails import SendInvitation
from app.invitations.errors import InvitationNotFound
from app.invitations.models import Invitation
from app.jobs.services.queue import JobQueue
from app.users.models import MEMBER, User
from app.users.permissions import ROLES_ASSIGN, USERS_INVITE, granted
from app.users.services.policy import Policy
from app.users.services.roles import Roles


class Invitations(Service):
    """Invitations. `by` is the actor; a missing permission raises NotAllowed."""

    audit: AuditLog
    confirmation: Confirmation
    invitations_open: bool
    job_queue: JobQueue
    lifetimes: Lifetimes
    links: OneTimeLinks
    policy: Policy
    roles: Roles

    def invite(self, *, email: str, name: str, roles: Sequence[str], by: Actor) -> Invitation:
        """Create an account, and the job that sends the invitation. `email` is canonical.

        Raises RegistrationClosed, EmailTaken, RoleNotFound, ConfirmationRequired.
        """
        if not self.invitations_open:
            raise errors.RegistrationClosed
        self.policy.check(by, USERS_INVITE)
        if roles:
            self.policy.check(by, ROLES_ASSIGN)
        for role in roles:
            self.policy.check_assigning(by, self.roles.get(role))
        now = self.clock()
        # An account that is there may be deleted between the two: another invitation to it was just revoked.
        user = self._new(email, name) or self._take_over(email, name) or self._new(email, name)
        if user is None:
            raise errors.EmailTaken
        invitation = Invitation(
            user=user,
            inviter_id=by.user_id,
            by_operator=isinstance(by, Operator),
            roles=sorted(set(roles)) or [MEMBER],
            created_at=now,
            expires_at=now + timedelta(days=self.lifetimes.invitation_days),
        )
        self.session.add(invitation)
        self.session.flush()
        self.audit.record("user.invited", subject_id=user.id, email=email, name=name, roles=invitation.roles)
        self._send(invitation)
        return invitation

    def get(self, invitation_id: int, *, lock: bool = False) -> Invitation:
        """Return a pending invitation. Raises InvitationNotFound."""
        query = self._pending().where(Invitation.id == invitation_id)
        invitation = self.session.scalar(query.with_for_update(of=Invitation) if lock else query)
        if invitation is None:
            raise InvitationNotFound
        return invitation

    def get_by_email(self, email: str) -> Invitation:
        """Return the pending invitation of a canonical address, locked. Raises InvitationNotFound."""
        invitation = self.session.scalar(self._pending().where(User.email == email).with_for_update(of=Invitation))
        if invitation is None:
            raise InvitationNotFound(f"No invitation for {email}.")
        return invitation

    def list_pending(self, *, before: int | None = None, limit: int = 50) -> list[Invitation]:
        """Return pending invitations with an ID below `before`, newest first."""
        query = self._pending().order_by(Invitation.id.desc()).limit(limit)
        return list(self.session.scalars(query if before is None else query.where(Invitation.id < before)))

    def count_pending(self) -> int:
        return self.session.scalar(select(func.count()).select_from(Invitation)) or 0

    def resend(self, invitation: Invitation, *, by: Actor) -> None:
        """Email another link, valid from now; the earlier one ends when it is sent."""
        self.policy.check(by, USERS_INVITE)
        self._check_rank(invitation.roles, by=by)
        invitation.expires_at = self.clock() + timedelta(days=self.lifetimes.invitation_days)
        self.audit.record("invitation.resent", subject_id=invitation.user_id)
        self._send(invitation)

    def revoke(self, invitation: Invitation, *, by: Actor) -> None:
        """End it, and the account that waits for it."""
        self.policy.check(by, USERS_INVITE)
        self._check_rank(invitation.roles, by=by)
        user_id = invitation.user_id
        self.links.end_all(user_id, Purpose.INVITATION)
        self.session.delete(invitation)
        self.session.flush()
        # Unless an account with this address was created since.
        waiting = (User.id == user_id, User.email_verified_at.is_(None), User.hashed_password.is_(None))
        self.session.execute(delete(User).where(*waiting))
        self.audit.record("invitation.revoked", subject_id=user_id)

    def get_invited(self, token: str) -> User:
        """Return the user that a valid link invites. Raises InvalidLink, RegistrationClosed."""
        link = self.links.get_live(token, Purpose.INVITATION)
        if not self.invitations_open:
            raise errors.RegistrationClosed
        user = self.session.scalar(select(User).where(User.id == link.user_id, User.email == link.address))
        if user is None or not user.is_active or user.is_verified():
            raise errors.InvalidLink
        return user

    def accept(self, token: str, *, name: str, password: NewPassword) -> User:
        """Set name and password, confirm the address, assign the roles. Raises InvalidLink, RegistrationClosed."""
        link = self.links.spend_link(token, Purpose.INVITATION)
        query = select(User).where(User.id == link.user_id, User.email == link.address, User.is_active)
        user = self.session.scalar(query.options(selectinload(User.roles)).with_for_update(key_share=True))
        if user is None or user.is_verified():
            raise errors.InvalidLink
        user.name, user.hashed_password = name, password.hashed
        self.confirmation.confirm_address(user)
        self.links.end_all(user.id, *Purpose)
        return user

    def find_open(self, user_id: int) -> Invitation | None:
        """Return the invitation of `user_id` if it can still be accepted."""
        condition = (Invitation.user_id == user_id, Invitation.expires_at > self.clock())
        return self.session.scalar(self._pending().where(*condition)) if self.invitations_open else None

    def keep(self, user: User) -> list[str]:
        """End the user's invitation, and return the roles of an open one that the inviter can still assign."""
        invitation = self.find_open(user.id)
        if invitation is not None:
            self.audit.record("invitation.accepted", subject_id=user.id, actor_id=user.id)
        roles = self._kept_promises(invitation)
        self.session.execute(delete(Invitation).where(Invitation.user_id == user.id))
        self.links.end_all(user.id, Purpose.INVITATION)
        return roles

    def invite_all(self, roles: Mapping[int, Sequence[str]], *, by: Actor) -> None:
        """Invite accounts that were just created: roles by user ID, whose assignment was checked before."""
        now = self.clock()
        invitations = [
            {
                "user_id": user_id,
                "inviter_id": by.user_id,
                "by_operator": isinstance(by, Operator),
                "roles": sorted(set(names)) or [MEMBER],
                "created_at": now,
                "expires_at": now + timedelta(days=self.lifetimes.invitation_days),
            }
            for user_id, names in roles.items()
        ]
        insert_rows(self.session, Invitation, invitations)
        for user_id in roles:
            self.job_queue.enqueue(SendInvitation(user_id=user_id, inviter_id=by.user_id))

    def _kept_promises(self, invitation: Invitation | None) -> list[str]:
        """Return the promised roles that the inviter can still assign."""
        if invitation is None:
            return []
        inviter = invitation.inviter
        there = [role for role in self.roles.list_all() if role.name in invitation.roles]
        return [role.name for role in there if invitation.by_operator or self.policy.may_keep_promise(inviter, role)]

    @staticmethod
    def _pending() -> Select[Invitation]:
        return (
            select(Invitation)
            .join(Invitation.user)
            .options(joinedload(Invitation.user), joinedload(Invitation.inviter).selectinload(User.roles))
        )

    def _send(self, invitation: Invitation) -> None:
        self.job_queue.enqueue(SendInvitation(user_id=invitation.user_id, inviter_id=invitation.inviter_id))

    def _check_rank(self, roles: Sequence[str], *, by: Actor) -> None:
        """Raises RoleNotFound."""
        for name in roles:
            self.policy.check_rank(by, granted(self.roles.get(name).permissions), action=ROLES_ASSIGN)

    def _new(self, email: str, name: str) -> User | None:
        """Create an account; None if the address has one."""
        now = self.clock()
        user = User(email=email, name=name, hashed_password=None, created_at=now, updated_at=now, roles=[])
        try:
            with self.session.begin_nested():
                self.session.add(user)
        except IntegrityError:
            return None
        return user

    def _take_over(self, email: str, name: str) -> User | None:
        """Take over an account with this address that was never confirmed; None if it is gone. Raises EmailTaken."""
        query = (
            select(User).where(User.email == email).options(selectinload(User.roles)).with_for_update(key_share=True)
        )
        user = self.session.scalar(query)
        if user is None:
            return None
        if user.is_verified() or not user.is_active or user.hashed_password is None:
            raise errors.EmailTaken
        self.session.execute(delete(Invitation).where(Invitation.user_id == user.id))
        user.name, user.hashed_password, user.created_at = name, None, self.clock()
        return user
