"""Impersonation: with a reason, for a limited time, up to your own permissions; the user is notified."""

from datetime import timedelta

from sqlalchemy import select

from app.audit.services.log import AuditLog
from app.auth.models import Session
from app.core import errors
from app.core.principal import Principal
from app.core.service import Service
from app.impersonation.emails import SendImpersonated
from app.impersonation.permissions import USERS_IMPERSONATE
from app.impersonation.settings import ImpersonationSettings
from app.jobs.services.queue import JobQueue
from app.users.models import User
from app.users.services.policy import Policy


class Impersonation(Service):
    """The impersonated user is noted in the administrator's own session, and ends with it."""

    audit: AuditLog
    job_queue: JobQueue
    settings: ImpersonationSettings
    policy: Policy

    def impersonate(self, user: User, *, reason: str, by: Principal) -> None:
        """Let `by` impersonate `user` from the next request on. Raises NotAllowed, NotActive."""
        self.policy.check(by, USERS_IMPERSONATE, user)
        if by.via != "cookie" or by.impersonator_id is not None or user.id == by.user_id:
            raise errors.NotAllowed("You can impersonate one user at a time, in a browser.")
        if not user.can_sign_in():
            raise errors.NotActive
        row = self._session_of(by)
        if row is None or row.ended_at is not None:
            raise errors.NotAllowed
        self._close(row)  # An earlier one that has run out, and that nothing has closed yet.
        row.impersonation_event_id = self.audit.record("impersonation.started", subject_id=user.id, reason=reason)
        row.impersonated_id, row.impersonated_until = (
            user.id,
            self.clock() + timedelta(minutes=self.settings.impersonation_minutes),
        )

    def stop_impersonating(self, by: Principal) -> None:
        """End the impersonation; no change if there is none."""
        row = self._session_of(by)
        if row is not None:
            self._close(row)

    def process_expired(self, *, at_most: int = 100) -> int:
        """End expired impersonations; return their number."""
        over = select(Session).where(Session.impersonated_until <= self.clock()).limit(at_most)
        rows = self.session.scalars(over.with_for_update(skip_locked=True)).all()
        for row in rows:
            self._close(row)
        return len(rows)

    def _session_of(self, by: Principal) -> Session | None:
        return self.session.scalar(select(Session).where(Session.id == by.session_id).with_for_update())

    def _close(self, row: Session) -> None:
        if row.impersonated_id is None or row.impersonation_event_id is None:
            return
        self.audit.record("impersonation.ended", subject_id=row.impersonated_id, actor_id=row.user_id)
        if self.settings.impersonation_notice:
            task = SendImpersonated(user_id=row.impersonated_id, event_id=row.impersonation_event_id)
            self.job_queue.enqueue(task)
        row.impersonated_id = row.impersonated_until = row.impersonation_event_id = None
