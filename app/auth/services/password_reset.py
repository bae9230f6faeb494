"""Password reset, without revealing who has an account; it revokes all access."""

from sqlalchemy import select
from sqlalchemy.orm import selectinload

from app.audit.services.log import AuditLog
from app.auth.emails.sign_in import SendPasswordChanged, SendPasswordReset
from app.auth.models import Purpose
from app.auth.services.confirmation import Confirmation
from app.auth.services.links import OneTimeLinks
from app.auth.services.password_policy import NewPassword
from app.auth.services.revocation import Revocation
from app.auth.services.sessions import Sessions
from app.core import errors
from app.core.service import Service
from app.jobs.services.queue import JobQueue
from app.users.models import User
from app.users.services.users import Users


class PasswordReset(Service):
    audit: AuditLog
    confirmation: Confirmation
    job_queue: JobQueue
    links: OneTimeLinks
    revocation: Revocation
    sessions: Sessions
    users: Users

    def request(self, email: str) -> None:
        """Enqueue the email, whether or not the address is known."""
        user_id = self.session.scalar(select(User.id).where(User.email == email))
        self.audit.record("password.reset_requested", subject_id=user_id)
        self.job_queue.enqueue(SendPasswordReset(user_id=user_id))

    def get_owner(self, token: str) -> User:
        """Return the user whose password the link resets. Raises InvalidLink."""
        link = self.links.get_live(token, Purpose.RESET_PASSWORD)
        return self._owner(link.user_id, link.address)

    def reset(self, token: str, *, password: NewPassword, device_token: str | None = None) -> User:
        """Set the password, revoke all access, and notify the owner; does not sign in.

        The link was sent to the address, so it confirms the address too, and a name from before that is dropped. A
        deleted account is restored: the thief of a password must not be able to delete it. Afterwards only this browser
        is known, by `device_token`. Raises InvalidLink, RegistrationClosed.
        """
        link = self.links.spend_link(token, Purpose.RESET_PASSWORD)
        user = self._owner(link.user_id, link.address, lock=True)
        user.hashed_password, user.updated_at = password.hashed, self.clock()
        if not user.is_verified():
            user.name = ""
        self.confirmation.confirm_address(user)
        self.users.undo_own_deletion(user)
        self.revocation.revoke_access(user.id, reason="password_reset")
        if device_token is not None:
            self.sessions.remember_device(user.id, device_token)
        event_id = self.audit.record("password.reset", subject_id=user.id, actor_id=user.id)
        self.job_queue.enqueue(SendPasswordChanged(user_id=user.id, event_id=event_id))
        return user

    def _owner(self, user_id: int, address: str, *, lock: bool = False) -> User:
        query = select(User).where(User.id == user_id, User.email == address).options(selectinload(User.roles))
        user = self.session.scalar(query.with_for_update(key_share=True) if lock else query)
        if user is None or not (user.is_active or user.is_closed()):
            raise errors.InvalidLink
        return user
