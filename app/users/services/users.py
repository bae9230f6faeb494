"""User management for administrators and the command line.

`by` is the actor; each method checks their permission on this user and raises NotAllowed.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, case, delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import selectinload

from app.account.service import Profile
from app.audit.models import AuditDetail
from app.audit.services.log import AuditLog
from app.auth.emails.sign_in import SendPasswordChanged, SendPasswordReset
from app.auth.emails.sign_up import ResendConfirmation, SendAccountCreated
from app.auth.models import OneTimeLink, Purpose
from app.auth.services.email_changes import EmailChanges
from app.auth.services.links import OneTimeLinks
from app.auth.services.password_policy import NewPassword
from app.auth.services.revocation import Revocation
from app.auth.services.sessions import Sessions
from app.core import errors
from app.core.lifetimes import Lifetimes
from app.core.principal import Actor
from app.core.retention import Erasure
from app.core.service import Service
from app.jobs.services.queue import JobQueue
from app.mail.models import SentMail
from app.users.emails import SendAccountActivated, SendAccountDeactivated, SendAccountDeleted
from app.users.models import MEMBER, User
from app.users.permissions import ROLES_ASSIGN, USERS_CREATE, USERS_DEACTIVATE, USERS_DELETE, USERS_EDIT, USERS_SUPPORT
from app.users.services.policy import Policy
from app.users.services.roles import Roles


class Users(Service):
    audit: AuditLog
    job_queue: JobQueue
    lifetimes: Lifetimes
    links: OneTimeLinks
    email_changes: EmailChanges
    erasures: Sequence[Erasure]
    policy: Policy
    profile: Profile
    revocation: Revocation
    roles: Roles
    sessions: Sessions

    def has_password(self, user_id: int) -> bool:
        return self.session.scalar(select(User.hashed_password.is_not(None)).where(User.id == user_id)) or False

    def get(self, user_id: int, *, lock: bool = False, deleted: bool = False, closed: bool = False) -> User:
        """Return a user. With `lock`, the row is locked until the transaction ends; with `deleted`, deleted users are
        found too.

        With `closed`, of the deleted users only those deleted by their owner. The lock is FOR NO KEY UPDATE: jobs and
        sessions that refer to the user can still be added, so two administrators who act on each other don't wait for
        each other. Raises UserNotFound.
        """
        how = {"key_share": True} if lock else None
        user = self.session.get(User, user_id, options=[selectinload(User.roles)], with_for_update=how)
        if user is None or _is_hidden(user, deleted=deleted, closed=closed):
            raise errors.UserNotFound
        return user

    def find(self, who: str | int, *, lock: bool = False, deleted: bool = False, closed: bool = False) -> User:
        """Return the user with a canonical address or an ID, as `get` does. Raises UserNotFound."""
        if isinstance(who, str):
            return self.get_by_email(who, lock=lock, deleted=deleted, closed=closed)
        try:
            return self.get(who, lock=lock, deleted=deleted, closed=closed)
        except errors.UserNotFound:
            raise errors.UserNotFound(f"No user has the ID {who}, or it is deleted.") from None

    def get_by_email(self, email: str, *, lock: bool = False, deleted: bool = False, closed: bool = False) -> User:
        """Return the user with a canonical address, as `get` does. Raises UserNotFound."""
        query: Select[User] = select(User).where(User.email == email).options(selectinload(User.roles))
        user = self.session.scalar(query.with_for_update(key_share=True) if lock else query)
        if user is None:
            raise errors.UserNotFound(f"No user has the email address {email}.")
        if _is_hidden(user, deleted=deleted, closed=closed):
            raise errors.UserNotFound(
                f"The user with the email address {email} is deleted. Restore it with `flask users restore`."
            )
        return user

    def check_free(self, email: str) -> None:
        """Raises EmailTaken if an account has the address `email`."""
        if self.session.scalar(select(User.id).where(User.email == email)):
            raise _taken(email)

    def create(
        self, *, email: str, name: str, roles: Sequence[str] = (), password: NewPassword | None = None, by: Actor
    ) -> User:
        """Create an account with a confirmed address, without a password unless the operator sets one.

        Raises EmailTaken, RoleNotFound, ConfirmationRequired.
        """
        self.policy.check(by, USERS_CREATE)
        if roles:
            self.policy.check(by, ROLES_ASSIGN)
        if password is not None:
            self.policy.check_operator(by)
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
            raise _taken(email) from None
        self.audit.record("user.created", subject_id=user.id, email=email, name=name)
        for role in roles or (MEMBER,):
            self.roles.assign(user, role, by=by)
        return user

    def send_first_link(self, user: User, *, by: Actor) -> None:
        """Email a link to choose the first password, which lives as long as an invitation."""
        self.policy.check(by, USERS_CREATE)
        self.audit.record("password.reset_requested", subject_id=user.id)
        self.job_queue.enqueue(SendAccountCreated(user_id=user.id, creator_id=by.user_id))

    # ── reading ──

    def change_fields(self, user: User, texts: Mapping[str, str], *, by: Actor) -> None:
        """Change some of USER_FIELDS; an empty text removes the earlier one."""
        self.policy.check(by, USERS_EDIT, user)
        self.profile.change_fields(user.id, texts)

    def propose_email(self, user: User, email: str, *, by: Actor) -> None:
        """Send a link to the new address, which confirms the change there. Raises SameAddress, TooManyChanges."""
        self.policy.check(by, USERS_EDIT, user)
        self.profile.request_email_change(user.id, email)

    def set_email(self, user: User, email: str, *, by: Actor) -> None:
        """Set the address as a confirmed one. Raises EmailTaken."""
        self.policy.check_operator(by)
        if email == user.email:
            return
        before = user.email
        try:
            with self.session.begin_nested():
                user.email, user.email_verified_at = email, self.clock()
                self.session.flush()
        except IntegrityError:
            raise _taken(email) from None
        self.links.end_all(user.id, *Purpose)
        self.email_changes.cancel(user.id)
        user.updated_at = self.clock()
        self.audit.record("email.changed", subject_id=user.id, before=before, after=email)

    def set_password(self, user: User, password: NewPassword, *, by: Actor) -> None:
        """Replace the password, revoke all access, and notify the user."""
        self.policy.check_operator(by)
        user.hashed_password, user.updated_at = password.hashed, self.clock()
        self.revocation.revoke_access(user.id, reason="password_changed")
        event_id = self.audit.record("password.changed", subject_id=user.id)
        self.job_queue.enqueue(SendPasswordChanged(user_id=user.id, event_id=event_id))

    def set_roles(self, user: User, names: Sequence[str], *, by: Actor) -> None:
        """Raises RoleNotFound, LastAdministrator."""
        self.policy.check(by, ROLES_ASSIGN, user)
        self.roles.set(user, names, by=by)

    def assign(self, user: User, role: str, *, by: Actor) -> None:
        """Raises RoleNotFound."""
        self.policy.check(by, ROLES_ASSIGN, user)
        self.roles.assign(user, role, by=by)

    def unassign(self, user: User, role: str, *, by: Actor) -> None:
        """Raises RoleNotFound, LastAdministrator."""
        self.policy.check(by, ROLES_ASSIGN, user)
        self.roles.unassign(user, role, by=by)

    # ── help ──

    def revoke_sessions(self, user: User, *, by: Actor) -> int:
        """End every session; returns how many."""
        self.policy.check(by, USERS_SUPPORT, user)
        return self.sessions.revoke_all(user.id, reason="ended_by_administrator")

    def send_reset(self, user: User, *, by: Actor) -> None:
        """Email a link to set a new password. Raises NotActive."""
        self.policy.check(by, USERS_SUPPORT, user)
        if not user.is_active:
            raise errors.NotActive
        self.audit.record("password.reset_requested", subject_id=user.id)
        self.job_queue.enqueue(SendPasswordReset(user_id=user.id))

    def resend_verification(self, user: User, *, by: Actor) -> None:
        """Email another confirmation link. Raises NotActive, AlreadyConfirmed."""
        self.policy.check(by, USERS_SUPPORT, user)
        if not user.is_active:
            raise errors.NotActive
        if user.is_verified():
            raise errors.AlreadyConfirmed
        self.audit.record("user.verification_requested", subject_id=user.id)
        self.job_queue.enqueue(ResendConfirmation(user_id=user.id))

    def create_reset_link(self, user: User, *, lifetime: timedelta, by: Actor) -> tuple[OneTimeLink, str]:
        """Create a link to set a new password, for the operator to pass on; audited."""
        self.policy.check_operator(by)
        link, token = self.links.issue(Purpose.RESET_PASSWORD, user_id=user.id, address=user.email, lifetime=lifetime)
        self.links.supersede(link)
        self.audit.record("password.link_made", subject_id=user.id)
        return link, token

    def list_mails(self, user_id: int, *, limit: int = 25) -> Sequence[SentMail]:
        return self.session.scalars(
            select(SentMail).where(SentMail.user_id == user_id).order_by(SentMail.id.desc()).limit(limit)
        ).all()

    # ── in and out ──

    def deactivate(self, user: User, *, reason: str, until: datetime | None = None, by: Actor) -> None:
        """Revoke all access of `user` and refuse sign-in, until `until` or `activate`.

        Of an account that its owner has deleted: no sign-in and no reset brings it back then.

        Raises InThePast, LastAdministrator.
        """
        self.policy.check(by, USERS_DEACTIVATE, user)
        if until is not None and until <= self.clock():
            raise errors.InThePast
        self.roles.keep_one_administrator(losing=user)
        self.revocation.revoke_access(user.id, reason="deactivated")
        user.deactivate(reason=reason, at=self.clock(), until=until)
        ends = until.isoformat() if until else None
        self.audit.record("user.deactivated", subject_id=user.id, reason=reason, until=ends)
        self.job_queue.enqueue(SendAccountDeactivated(user_id=user.id))

    def reactivate(self, user: User, *, by: Actor) -> bool:
        """Reactivate `user`; returns whether that changed anything."""
        self.policy.check(by, USERS_DEACTIVATE, user)
        if user.is_active:
            return False
        self._reactivate(user)
        return True

    def delete(self, user: User, *, reason: str | None = None, by: Actor) -> None:
        """Revoke all access and hide `user` until restored or erased. They get the reason by email.

        Raises LastAdministrator.
        """
        self.policy.check(by, USERS_DELETE, user)
        self._revoke_access(user, reason="deleted")
        user.delete(at=self.clock())
        details: dict[str, Any] = {"reason": reason} if reason else {}
        self.audit.record("user.deleted", subject_id=user.id, **details)
        self.job_queue.enqueue(SendAccountDeleted(user_id=user.id))

    def delete_own(self, user_id: int) -> None:
        """Delete your own account; signing in restores it until it is permanently deleted. Raises LastAdministrator."""
        user = self.get(user_id, lock=True)
        self._revoke_access(user, reason="deleted")
        user.delete(at=self.clock(), by_owner=True)
        self.audit.record("user.deleted", subject_id=user.id)
        self.job_queue.enqueue(SendAccountDeleted(user_id=user.id))

    def undo_own_deletion(self, user: User) -> bool:
        """Undo the deletion of their own account, as its owner; returns whether it can be used. `user` is locked."""
        if not user.is_closed():
            return user.is_active
        user.restore(at=self.clock())
        self.session.flush()
        self.audit.record("user.restored", subject_id=user.id, actor_id=user.id)
        self.job_queue.enqueue(SendAccountActivated(user_id=user.id))
        return True

    def erased_at(self, user: User) -> datetime | None:
        """Return when a deleted account will be erased."""
        lives = self.lifetimes.own_deletion_days if user.deleted_by_owner else self.lifetimes.deleted_account_days
        return user.deleted_at + timedelta(days=lives) if user.deleted_at else None

    def deletion_reason(self, user_id: int) -> str | None:
        """Return the reason of the last deletion by an administrator, if any."""
        event = self.audit.find_last("user.deleted", subject_id=user_id)
        return event.detail.values.get("reason") if event and event.detail else None

    def restore(self, user: User, *, by: Actor) -> None:
        """Undo a deletion; a deactivation before it stays. Raises UserNotFound if `user` is not deleted."""
        self.policy.check(by, USERS_DELETE, user)
        if user.deleted_at is None:
            raise errors.UserNotFound("This user isn't deleted.")
        user.restore(at=self.clock())
        self.audit.record("user.restored", subject_id=user.id)
        if user.is_active:
            self.job_queue.enqueue(SendAccountActivated(user_id=user.id))

    def erase(self, user: User, *, by: Actor) -> None:
        """Erase the user's rows and the personal values of their audit events. Raises LastAdministrator."""
        self.policy.check_operator(by)
        self._erase(user)

    def _erase(self, user: User) -> None:
        self.roles.keep_one_administrator(losing=user)
        self.policy.forget(user)
        for erase in self.erasures:
            erase(self.session, user)
        self.session.execute(delete(User).where(User.id == user.id))
        # A trigger keeps the details of users that still exist.
        self.session.execute(delete(AuditDetail).where(AuditDetail.subject_id == user.id))
        self.audit.record("user.erased", subject_id=user.id)

    def process_expired(self, *, at_most: int = 100) -> int:
        """Reactivate whose deactivation has ended, and erase whose undo time has; returns how many."""
        now = self.clock()
        expired = select(User).where(User.deactivated_until <= now, User.deleted_at.is_(None))
        own = now - timedelta(days=self.lifetimes.own_deletion_days)
        others = now - timedelta(days=self.lifetimes.deleted_account_days)
        over = select(User).where(User.deleted_at <= case((User.deleted_by_owner, own), else_=others))
        # What another worker has locked is left to it.
        let_in = self.session.scalars(expired.limit(at_most).with_for_update(skip_locked=True, key_share=True)).all()
        for user in let_in:
            self._reactivate(user)
        erased = self.session.scalars(over.limit(at_most).with_for_update(skip_locked=True)).all()
        for user in erased:
            self._erase(user)
        return len(let_in) + len(erased)

    def _revoke_access(self, user: User, *, reason: str) -> None:
        self.roles.keep_one_administrator(losing=user)
        self.revocation.revoke_access(user.id, reason=reason)

    def _reactivate(self, user: User) -> None:
        user.activate(at=self.clock())
        self.audit.record("user.activated", subject_id=user.id)
        self.job_queue.enqueue(SendAccountActivated(user_id=user.id))


def _taken(email: str) -> errors.EmailTaken:
    return errors.EmailTaken(f"Another user has the email address {email}.")


def _is_hidden(user: User, *, deleted: bool, closed: bool) -> bool:
    return user.deleted_at is not None and not deleted and not (closed and user.deleted_by_owner)
