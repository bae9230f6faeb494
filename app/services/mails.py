"""The record of mails: that one went out, to whom and how it ended; never what it said."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session as DbSession

from app.models import MailStatus, SentMail
from app.security.tokens import new_token


class Mails:
    def __init__(self, session: DbSession, *, clock: Callable[[], datetime]) -> None:
        self._session = session
        self._clock = clock

    def open(
        self, *, job_id: int, kind: str, user_id: int | None, recipient: str, subject: str, domain: str
    ) -> SentMail:
        """The record of the mail that this job sends: the same row, with the same Message-ID, at every try."""
        found = self._session.scalar(select(SentMail).where(SentMail.job_id == job_id))
        if found is None:
            found = SentMail(
                job_id=job_id,
                kind=kind,
                user_id=user_id,
                message_id=f"<{new_token()}@{domain}>",
                created_at=self._clock(),
            )
            self._session.add(found)
        found.recipient, found.subject, found.status = recipient, subject, MailStatus.SENDING
        self._session.flush()
        return found

    def count_recent(self, user_id: int, kinds: Iterable[str]) -> int:
        """How many of these mails the user was sent in the last hour."""
        since = self._clock() - timedelta(hours=1)
        sent = select(func.count()).select_from(SentMail)
        return (
            self._session.scalar(
                sent.where(SentMail.user_id == user_id, SentMail.kind.in_(list(kinds)), SentMail.created_at > since)
            )
            or 0
        )

    def close(self, job_id: int, *, status: MailStatus, answer: str | None = None) -> None:
        """How the try ended; `answer` is what the mail server said."""
        mail = self._session.scalars(select(SentMail).where(SentMail.job_id == job_id)).one()
        mail.status, mail.answer = status, answer and answer[:500]
        mail.sent_at = self._clock() if status == MailStatus.SENT else None
