"""Changes of address that wait to be confirmed: whatever makes an account safer ends them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session as DbSession

from app.errors import TooManyChanges
from app.models import EmailChange, Purpose
from app.services.audit import AuditLog
from app.services.lifetimes import Lifetimes
from app.services.links import OneTimeLinks
from app.services.statements import affected


class EmailChanges:
    def __init__(
        self,
        session: DbSession,
        *,
        audit: AuditLog,
        links: OneTimeLinks,
        lifetimes: Lifetimes,
        clock: Callable[[], datetime],
    ) -> None:
        self._session = session
        self._audit = audit
        self._links = links
        self._an_hour = lifetimes.mails_per_hour
        self._clock = clock

    def find_pending(self, user_id: int) -> EmailChange | None:
        return self._session.scalar(
            select(EmailChange)
            .where(EmailChange.user_id == user_id, EmailChange.confirmed_at.is_(None), EmailChange.ended_at.is_(None))
            .order_by(EmailChange.id.desc())
            .limit(1)
        )

    def check_quota(self, user_id: int) -> None:
        """Each change asked for is a mail to each address. Raises TooManyChanges."""
        since = self._clock() - timedelta(hours=1)
        asked = select(func.count()).where(EmailChange.user_id == user_id, EmailChange.requested_at > since)
        if (self._session.scalar(asked) or 0) >= self._an_hour:
            raise TooManyChanges

    def cancel(self, user_id: int) -> None:
        """End what is pending, if anything is: its row, so that no job sends its link, and the link that was sent."""
        ended = affected(
            self._session,
            update(EmailChange)
            .where(EmailChange.user_id == user_id, EmailChange.confirmed_at.is_(None), EmailChange.ended_at.is_(None))
            .values(ended_at=self._clock()),
        )
        if ended:
            self._links.end_all(user_id, Purpose.CHANGE_EMAIL)
            self._audit.record("email.change_cancelled", subject_id=user_id)
