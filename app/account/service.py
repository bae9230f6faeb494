"""Changes to your own account: name, password, email address."""

from collections.abc import Mapping, Sequence

from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.exc import IntegrityError

from app.audit.services.log import AuditLog
from app.auth.access import AccessKind
from app.auth.emails.email_changes import SendConfirmEmailChange, SendEmailChanged, SendEmailChangeRequested
from app.auth.emails.sign_in import SendPasswordChanged
from app.auth.models import OneTimeLink, Purpose
from app.auth.services.email_changes import EmailChanges
from app.auth.services.factors import Factors
from app.auth.services.links import OneTimeLinks
from app.auth.services.password_policy import NewPassword
from app.auth.services.revocation import Revocation
from app.auth.services.sessions import Sessions
from app.core import errors
from app.core.dialects import rowcount
from app.core.lookups import Lookup, Source
from app.core.principal import Principal
from app.core.service import Service, Services
from app.jobs.services.queue import JobQueue
from app.users.models import USER_FIELDS, EmailChange, User

_USERS = User.__table__.c
_TIME_ZONE = Lookup(select(_USERS.time_zone).where(_USERS.id == bindparam("user_id")))


class Profile(Service):
    access: Sequence[AccessKind]
    services: Services
    audit: AuditLog
    factors: Factors
    job_queue: JobQueue
    links: OneTimeLinks
    email_changes: EmailChanges
    revocation: Revocation
    sessions: Sessions
    source: Source

    def get(self, user_id: int) -> User:
        user = self.session.get(User, user_id)
        if user is None:
            raise errors.UserNotFound
        return user

    def read_fields(self, user_id: int) -> dict[str, str]:
        """Return the texts of USER_FIELDS, for a form."""
        user = self.get(user_id)
        return {name: getattr(user, name) or "" for name in USER_FIELDS}

    def change_fields(self, user_id: int, texts: Mapping[str, str]) -> None:
        """Change some of USER_FIELDS; an empty text removes the earlier one."""
        user = self.get(user_id)
        for name, text in texts.items():
            before = getattr(user, name)
            if (before or "") != text:
                setattr(user, name, text if name == "name" else text or None)
                user.updated_at = self.clock()
                if name == "name":
                    self.audit.record("user.renamed", subject_id=user.id, before=before, after=text)
                else:
                    about = {"field": USER_FIELDS[name].label, "before": before, "after": text or None}
                    self.audit.record("user.changed", subject_id=user.id, **about)

    def find_time_zone(self, user_id: int) -> str | None:
        """Return the time zone that a user has chosen, like `Europe/Berlin`."""
        row = _TIME_ZONE.first(self.source, user_id=user_id)
        return row.time_zone if row else None

    def set_time_zone(self, user_id: int, name: str | None, *, first: bool = False) -> None:
        """Store a time zone, or None for that of the site; with `first`, only for a user without one."""
        query = update(User).where(User.id == user_id)
        query = query.where(User.time_zone.is_(None)) if first else query
        self.session.execute(query.values(time_zone=name).execution_options(synchronize_session=False))

    def change_password(
        self, principal: Principal, *, seen_hash: str | None, password: NewPassword, device_token: str
    ) -> str:
        """Replace the password that was just entered, end all other sessions, and notify the owner.

        All browsers become unknown, except this one (`device_token`). Returns this session's new token. Raises
        WrongPassword if the password has changed since.
        """
        now = self.clock()
        changed = rowcount(
            self.session,
            update(User)
            .where(User.id == principal.user_id, User.hashed_password == seen_hash)
            .values(hashed_password=password.hashed, updated_at=now),
        )
        if changed != 1:
            raise errors.WrongPassword
        self.links.end_all(principal.user_id, Purpose.RESET_PASSWORD)
        self.email_changes.cancel(principal.user_id)
        self.sessions.revoke_all(principal.user_id, reason="password_changed", keep=principal.session_id)
        self.sessions.forget_devices(principal.user_id)
        self.sessions.remember_device(principal.user_id, device_token)
        event_id = self.audit.record("password.changed", subject_id=principal.user_id)
        self.job_queue.enqueue(SendPasswordChanged(user_id=principal.user_id, event_id=event_id))
        # Where there is a second factor, the password alone does not confirm a session.
        has_factor = self.factors.has_any(principal.user_id)
        return self.sessions.replace_token(principal) if has_factor else self.sessions.confirm(principal)

    # ── the address ──

    def request_email_change(self, user_id: int, new_email: str) -> None:
        """Enqueue a link to the new address (canonical) and a notice to the old one. Raises SameAddress,
        TooManyChanges.

        Only the worker checks whether the new address has an account, so the response does not reveal it.
        """
        user = self.session.scalar(select(User).where(User.id == user_id).with_for_update(key_share=True))
        if user is None:
            raise errors.UserNotFound
        if user.email == new_email:
            raise errors.SameAddress
        self.email_changes.check_quota(user_id)
        self.email_changes.cancel(user_id)
        change = EmailChange(user_id=user_id, old_email=user.email, new_email=new_email, requested_at=self.clock())
        self.session.add(change)
        self.session.flush()
        self.audit.record("email.change_requested", subject_id=user_id, before=user.email, after=new_email)
        self.job_queue.enqueue(SendConfirmEmailChange(change_id=change.id))
        self.job_queue.enqueue(SendEmailChangeRequested(change_id=change.id))

    def get_change(self, token: str, purpose: Purpose) -> EmailChange:
        """Return the change that a valid link confirms or undoes. Raises InvalidLink."""
        return self._change_of(self.links.get_live(token, purpose))

    def confirm_email_change(self, token: str) -> None:
        """Replace the address with the new one. Raises InvalidLink, EmailTaken."""
        change = self._change_of(self.links.spend_link(token, Purpose.CHANGE_EMAIL))
        user = self.session.scalar(select(User).where(User.id == change.user_id).with_for_update(key_share=True))
        if (
            user is None
            or not user.is_active
            or user.email != change.old_email
            or change.confirmed_at
            or change.ended_at
        ):
            raise errors.InvalidLink
        change.confirmed_at = self.clock()
        self._move(user, change.new_email)
        self.links.end_all(user.id, Purpose.RESET_PASSWORD, Purpose.VERIFY_EMAIL)
        self.audit.record(
            "email.changed", subject_id=user.id, actor_id=user.id, before=change.old_email, after=change.new_email
        )
        self.job_queue.enqueue(SendEmailChanged(change_id=change.id))

    def undo_email_change(self, token: str) -> None:
        """Restore the old address, remove the password, revoke all access, and undo what was added since the change.

        Older factors and connections stay, and so does the link of an earlier change, because this address may not be
        the owner's either. Raises InvalidLink; EmailTaken if the old address belongs to another account now.
        """
        link = self.links.spend_link(token, Purpose.UNDO_EMAIL_CHANGE)
        change = self._change_of(link)
        user = self.session.scalar(select(User).where(User.id == change.user_id).with_for_update(key_share=True))
        if user is None:
            raise errors.InvalidLink
        change.ended_at = self.clock()
        if user.email != change.old_email:
            before = user.email
            self._move(user, change.old_email)
            self.audit.record("email.change_undone", subject_id=user.id, before=before, after=change.old_email)
        else:
            self.audit.record("email.change_undone", subject_id=user.id)
        # The person who requested it knew the password, so the owner chooses a new one, by a link to the old address.
        user.hashed_password = None
        for access in self.access:
            access.remove_added_since(self.services, user.id, change.requested_at)
        self.factors.remove_added_since(user.id, change.requested_at)
        self.links.end_later_undos(link)
        self.revocation.revoke_access(user.id, reason="email_change_undone")

    def _move(self, user: User, email: str) -> None:
        now = self.clock()
        # An unconfirmed account gives way: its address was never proved; this link proves it.
        self.session.execute(delete(User).where(User.email == email, User.email_verified_at.is_(None)))
        try:
            with self.session.begin_nested():
                user.email, user.email_verified_at, user.updated_at = email, now, now
                self.session.flush()
        except IntegrityError:
            raise errors.EmailTaken from None

    def _change_of(self, link: OneTimeLink) -> EmailChange:
        change = self.session.get(EmailChange, link.email_change_id) if link.email_change_id else None
        if change is None:
            raise errors.InvalidLink
        return change
