"""Sign-up and email confirmation, without revealing who has an account."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import delete, exists, select

from app.audit.services.log import AuditLog
from app.auth.emails.sign_up import ResendConfirmation, SendConfirmation
from app.auth.models import OneTimeLink, Purpose
from app.auth.services.confirmation import Confirmation
from app.auth.services.links import OneTimeLinks
from app.auth.services.password_policy import NewPassword
from app.core import errors
from app.core.dialects import upsert
from app.core.lifetimes import Lifetimes
from app.core.service import Service
from app.core.tokens import is_same, keyed_hash
from app.jobs.services.queue import JobQueue
from app.users.models import User


class Registration(Service):
    audit: AuditLog
    job_queue: JobQueue
    links: OneTimeLinks
    confirmation: Confirmation
    lifetimes: Lifetimes
    secret_keys: Sequence[str]
    registration_open: bool

    def register(self, *, email: str, name: str, password: NewPassword) -> None:
        """Create an account, restart an unconfirmed one, or change nothing: one statement decides.

        The other rows, the job and the response are the same in all three cases; the worker decides which email is
        sent. An earlier link stays valid and confirms with the last password. `email` is canonical. Raises
        RegistrationClosed.
        """
        if not self.registration_open:
            raise errors.RegistrationClosed
        now = self.clock()
        fresh = {"name": name, "hashed_password": password.hashed, "created_at": now, "updated_at": now}
        registered_id = self.session.execute(
            upsert(self.session, User)
            .values(email=email, is_active=True, **fresh)
            .on_conflict_do_update(
                index_elements=[User.email],
                set_={**fresh, "version": User.version + 1},
                where=User.email_verified_at.is_(None) & User.is_active,
            )
            .returning(User.id)
        ).scalar()
        user_id = self.session.scalars(select(User.id).where(User.email == email)).one()
        self.audit.record("user.registered" if registered_id else "user.registered_again", subject_id=user_id)
        self.job_queue.enqueue(SendConfirmation(user_id=user_id))

    def resend(self, email: str) -> None:
        """Enqueue the email, whether or not the address is known."""
        user_id = self.session.scalar(select(User.id).where(User.email == email))
        self.audit.record("user.verification_requested", subject_id=user_id)
        self.job_queue.enqueue(ResendConfirmation(user_id=user_id))

    def proof(self, *, email: str, hashed: str | None) -> str:
        """Return a proof for the browser that chose this password, so that it need not be entered again."""
        return keyed_hash(self.secret_keys[0], "registered here", email, hashed or "")

    def is_proof(self, proof: str | None, user: User) -> bool:
        return proof is not None and is_same(proof, self.proof(email=user.email, hashed=user.hashed_password))

    def get_candidate(self, token: str) -> tuple[OneTimeLink, User]:
        """Return the valid link and the user it confirms. Raises InvalidLink."""
        link = self.links.get_live(token, Purpose.VERIFY_EMAIL)
        return link, self.session.scalars(select(User).where(User.id == link.user_id)).one()

    def verify(self, token: str, *, seen_hash: str | None) -> User:
        """Confirm the address. `seen_hash` is the stored hash that the password or proof was checked against.

        Raises InvalidLink, RegistrationClosed; WrongPassword when the password was changed in the meantime.
        """
        link = self.links.get_live(token, Purpose.VERIFY_EMAIL)
        user = self.session.scalars(select(User).where(User.id == link.user_id).with_for_update(key_share=True)).one()
        if user.hashed_password != seen_hash:
            raise errors.WrongPassword
        self.links.spend_link(token, Purpose.VERIFY_EMAIL)
        self.confirmation.confirm_address(user)
        return user

    def purge_unconfirmed(self, *, at_most: int = 1000) -> int:
        """Delete accounts that were not confirmed in time; returns how many. Nobody can have signed in to them."""
        due = (
            select(User.id)
            .where(
                User.email_verified_at.is_(None),
                User.created_at < self.clock() - timedelta(days=self.lifetimes.unconfirmed_account_days),
                ~exists().where(
                    OneTimeLink.user_id == User.id,
                    OneTimeLink.purpose == Purpose.INVITATION,
                    OneTimeLink.expires_at > self.clock(),
                ),
            )
            .order_by(User.created_at)
            .limit(at_most)
        )
        ids = list(self.session.scalars(due))
        if ids:
            self.session.execute(delete(User).where(User.id.in_(ids), User.email_verified_at.is_(None)))
            self.audit.record("user.purged_unconfirmed", subject_id=None, count=len(ids))
        return len(ids)
