"""The log of sent emails, and sending one again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from app.audit.services.log import AuditLog
from app.core import errors
from app.core.service import Service
from app.jobs.models import Job, JobState
from app.jobs.services.board import ENDED_BADLY, JobBoard
from app.jobs.services.queue import JobQueue
from app.jobs.tasks import Task
from app.mail.models import MailStatus, SentMail


@dataclass(frozen=True, slots=True)
class MailFilter:
    """`before` is the ID below which a page starts; `recipient` is a canonical address."""

    status: str | None = None
    recipient: str | None = None
    before: int | None = None


class SentMails(Service):
    audit: AuditLog
    job_board: JobBoard
    job_queue: JobQueue

    def count(self, status: MailStatus, *, since: datetime | None = None) -> int:
        query = select(func.count()).where(SentMail.status == status)
        return self.session.scalar(query if since is None else query.where(SentMail.created_at >= since)) or 0

    def list(self, filters: MailFilter, *, limit: int = 50) -> Sequence[SentMail]:
        """Return a page of emails, newest first."""
        query = select(SentMail).order_by(SentMail.id.desc()).limit(limit)
        if filters.status is not None:
            query = query.where(SentMail.status == filters.status)
        if filters.recipient is not None:
            query = query.where(SentMail.recipient == filters.recipient)
        if filters.before is not None:
            query = query.where(SentMail.id < filters.before)
        return self.session.scalars(query).all()

    def resend(self, mail_id: int) -> int:
        """Send an email again with its current contents, and a new link if it has one; returns the id of the job.

        An email that failed is retried with its Message-ID; one that was sent is followed by a new one. Raises
        MailNotFound, MailUnderway.
        """
        mail = self.session.get(SentMail, mail_id)
        job = self.session.get(Job, mail.job_id) if mail else None
        if mail is None or job is None:
            raise errors.MailNotFound
        job_id: int | None = job.id
        if job.state in ENDED_BADLY:
            self.job_board.retry(job.id)
        elif job.state == JobState.DONE:
            job_id = self.job_queue.enqueue(Task.read(job.kind, job.arguments))
        else:
            raise errors.MailUnderway
        self.audit.record("mail.resent", subject_id=mail.user_id, mail=mail.kind, job=job_id)
        return job_id or 0
