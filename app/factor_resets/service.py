"""Resets of second factors for users who have lost them: all their addresses are notified, and the factors are removed
after a delay in which the owner can cancel.
"""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import Row, select, update

from app.audit.services.log import AuditLog
from app.auth.access import AccessKind
from app.auth.models import Purpose, Session
from app.auth.services.factors import Factors
from app.auth.services.links import OneTimeLinks
from app.auth.services.sessions import Sessions
from app.core import errors
from app.core.dialects import rowcount
from app.core.principal import Actor, Principal
from app.core.service import Service, Services
from app.factor_resets.emails import SendFactorReset
from app.factor_resets.errors import FactorTooNew
from app.factor_resets.models import OLDER_BY, FactorReset
from app.factor_resets.permissions import USERS_RESET_FACTORS
from app.factor_resets.settings import FactorResetSettings
from app.factor_resets.tasks import ResetFactors
from app.jobs.services.queue import JobQueue
from app.users.models import EmailChange, User
from app.users.services.policy import Policy


class FactorResets(Service):
    """Resets of second factors. `by` is the actor; a missing permission raises NotAllowed."""

    access: Sequence[AccessKind]
    services: Services
    audit: AuditLog
    factors: Factors
    job_queue: JobQueue
    settings: FactorResetSettings
    links: OneTimeLinks
    policy: Policy
    sessions: Sessions

    def find_open(self, user_id: int) -> FactorReset | None:
        open_one = select(FactorReset).where(FactorReset.user_id == user_id, FactorReset.ended_at.is_(None))
        return self.session.scalar(open_one.order_by(FactorReset.id).limit(1))

    def list_open(self, *, limit: int) -> Sequence[Row[FactorReset, User]]:
        """Return scheduled resets with their users, those that are due first."""
        query = select(FactorReset, User).join(User, User.id == FactorReset.user_id)
        return self.session.execute(
            query.where(FactorReset.ended_at.is_(None), User.deleted_at.is_(None))
            .order_by(FactorReset.due_at)
            .limit(limit)
        ).all()

    def announce_reset(self, user: User, *, reason: str, by: Actor) -> FactorReset:
        """Schedule a reset and notify all addresses, or return the scheduled one. `user` is locked. Raises NotSetUp."""
        self.policy.check(by, USERS_RESET_FACTORS, user)
        if not self.factors.has_any(user.id):
            raise errors.NotSetUp("The user has no second factor.")
        pending = self.find_open(user.id)
        if pending is not None:
            self._enqueue(pending)  # Its job may have been cancelled, or run before its time.
            return pending
        now = self.clock()
        reset = FactorReset(
            user_id=user.id,
            begun_at=now,
            due_at=now + timedelta(hours=self.settings.factor_reset_hours),
            reason=reason,
        )
        self.session.add(reset)
        self.session.flush()
        self.audit.record("factor.reset_begun", subject_id=user.id, reason=reason)
        self._notify(reset)
        self._enqueue(reset)
        return reset

    def cancel_reset(self, user: User, *, by: Actor) -> None:
        """Cancel a scheduled reset, as its administrator, or as the owner in a session that `may_cancel`.

        Raises NotSetUp if there is none, FactorTooNew.
        """
        if not isinstance(by, Principal) or by.user_id != user.id:
            self.policy.check(by, USERS_RESET_FACTORS, user)
        else:
            waiting = self.find_open(user.id)
            if waiting is not None and not self.may_cancel(waiting, by):
                raise FactorTooNew
        self._cancel(user.id)

    def may_cancel(self, waiting: FactorReset, owner: Principal) -> bool:
        """Whether the owner's session was confirmed with a factor that is older than the request by a week."""
        session = self.session.get(Session, owner.session_id)
        added_at = session.factor_added_at if session is not None else None
        return added_at is not None and added_at <= waiting.begun_at - OLDER_BY

    def get_cancellable(self, token: str) -> FactorReset:
        """Return the reset that a link cancels. Raises InvalidLink."""
        link = self.links.get_live(token, Purpose.KEEP_FACTORS)
        reset = self.session.get(FactorReset, link.target_id)
        if reset is None or reset.ended_at is not None:
            raise errors.InvalidLink
        return reset

    def cancel_by_link(self, token: str) -> None:
        """End the wait with a link that was sent to an old address of the owner. Raises InvalidLink, NotSetUp."""
        reset = self.get_cancellable(token)
        self.links.spend_link(token, Purpose.KEEP_FACTORS)
        self._cancel(reset.user_id)

    def _cancel(self, user_id: int) -> None:
        waiting = update(FactorReset).where(FactorReset.user_id == user_id, FactorReset.ended_at.is_(None))
        if not rowcount(self.session, waiting.values(ended_at=self.clock())):
            raise errors.NotSetUp
        self.audit.record("factor.reset_cancelled", subject_id=user_id)

    def apply_reset(self, reset_id: int) -> bool:
        """Remove every factor, once the wait is over; every session ends. False if there is nothing to do now."""
        waiting = update(FactorReset).where(
            FactorReset.id == reset_id, FactorReset.ended_at.is_(None), FactorReset.due_at <= self.clock()
        )
        if not rowcount(self.session, waiting.values(ended_at=self.clock())):
            reset = self.session.get(FactorReset, reset_id)
            if reset is not None and reset.ended_at is None:
                self._enqueue(reset)
            return False
        user_id = self.session.scalars(select(FactorReset.user_id).where(FactorReset.id == reset_id)).one()
        self.factors.remove_all(user_id)
        self.sessions.revoke_all(user_id, reason="factors_reset")
        return True

    def _enqueue(self, reset: FactorReset) -> None:
        self.job_queue.enqueue(ResetFactors(reset_id=reset.id), run_after=reset.due_at)

    def _notify(self, reset: FactorReset) -> None:
        """Notify all addresses of the user: the account's, those of connections, and recently replaced ones."""
        user_id = reset.user_id
        self.job_queue.enqueue(SendFactorReset(reset_id=reset.id, connection_id=None, change_id=None))
        connections = [id_ for access in self.access for id_ in access.list_with_address(self.services, user_id)]
        for connection_id in connections:
            self.job_queue.enqueue(SendFactorReset(reset_id=reset.id, connection_id=connection_id, change_id=None))
        since = self.clock() - timedelta(days=self.settings.email_undo_link_days)
        changed = select(EmailChange.id).where(EmailChange.user_id == user_id, EmailChange.confirmed_at > since)
        for change_id in self.session.scalars(changed):
            self.job_queue.enqueue(SendFactorReset(reset_id=reset.id, connection_id=None, change_id=change_id))
