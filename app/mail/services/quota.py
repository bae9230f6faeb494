"""Records of emails (recipient, subject, result; never the text), and their quota."""

from datetime import timedelta

from sqlalchemy import select, update

from app.core.dialects import has_room
from app.core.lengths import MAX_OUTCOME_LENGTH
from app.core.lifetimes import Lifetimes
from app.core.service import Service
from app.core.tokens import new_token
from app.mail.models import MailStatus, SentMail


class MailQuota(Service):
    lifetimes: Lifetimes

    def open(
        self, *, job_id: int, kind: str, user_id: int | None, recipient: str, subject: str, domain: str
    ) -> SentMail:
        """Return the record of this job's email: the same row, with the same Message-ID, for each attempt."""
        mail = self.session.scalar(select(SentMail).where(SentMail.job_id == job_id))
        if mail is None:
            mail = SentMail(
                job_id=job_id,
                kind=kind,
                user_id=user_id,
                message_id=f"<{new_token()}@{domain}>",
                created_at=self.clock(),
            )
            self.session.add(mail)
        mail.recipient, mail.subject, mail.status = recipient, subject, MailStatus.SENDING
        self.session.flush()
        return mail

    def is_below_quota(self, job_id: int, *, kind: str, recipient: str) -> bool:
        """Return whether this address can get another email of this kind within this hour; each job counts once.

        Counts the records that `open` adds in the same transaction.
        """
        if self.session.scalar(select(SentMail.id).where(SentMail.job_id == job_id)) is not None:
            return True
        since = self.clock() - timedelta(hours=1)
        recent = (SentMail.recipient == recipient, SentMail.kind == kind, SentMail.created_at > since)
        at_most = self.lifetimes.mails_per_address_per_hour
        return has_room(self.session, *recent, at_most=at_most, lock=f"mail:{kind}:{recipient}")

    def close(self, job_id: int, *, status: MailStatus, answer: str | None = None) -> None:
        """Store the result; `answer` is the mail server's response. The record no longer exists if its user was
        permanently deleted.
        """
        self.session.execute(
            update(SentMail)
            .where(SentMail.job_id == job_id)
            .values(
                status=status,
                answer=answer and answer[:MAX_OUTCOME_LENGTH],
                sent_at=self.clock() if status == MailStatus.SENT else None,
            )
        )
