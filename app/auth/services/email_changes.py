"""Pending email changes, ended by anything that secures an account."""

from datetime import timedelta

from sqlalchemy import select, update

from app.audit.services.log import AuditLog
from app.auth.models import Purpose
from app.auth.services.links import OneTimeLinks
from app.core import errors
from app.core.dialects import has_room, rowcount
from app.core.lifetimes import Lifetimes
from app.core.service import Service
from app.users.models import EmailChange


class EmailChanges(Service):
    audit: AuditLog
    links: OneTimeLinks
    lifetimes: Lifetimes

    def find_pending(self, user_id: int) -> EmailChange | None:
        return self.session.scalar(
            select(EmailChange)
            .where(EmailChange.user_id == user_id, EmailChange.confirmed_at.is_(None), EmailChange.ended_at.is_(None))
            .order_by(EmailChange.id.desc())
            .limit(1)
        )

    def check_quota(self, user_id: int) -> None:
        """Check the number of requested changes, because each sends an email to each address. Raises TooManyChanges."""
        since = self.clock() - timedelta(hours=1)
        condition = (EmailChange.user_id == user_id, EmailChange.requested_at > since)
        at_most = self.lifetimes.mails_per_address_per_hour
        if not has_room(self.session, *condition, at_most=at_most, lock=f"email_changes:{user_id}"):
            raise errors.TooManyChanges

    def cancel(self, user_id: int) -> None:
        """End the pending change, if any: its row, so that no job sends its link, and the link that was sent."""
        count = rowcount(
            self.session,
            update(EmailChange)
            .where(EmailChange.user_id == user_id, EmailChange.confirmed_at.is_(None), EmailChange.ended_at.is_(None))
            .values(ended_at=self.clock()),
        )
        if count:
            self.links.end_all(user_id, Purpose.CHANGE_EMAIL)
            self.audit.record("email.change_cancelled", subject_id=user_id)
