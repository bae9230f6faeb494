"""Automatic deletion of expired rows."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, exists, func, or_, select

from app.api.models import IdempotentAnswer
from app.api.service import KEPT_FOR
from app.api_keys.models import ApiKey
from app.auth.models import Device, FactorReset, OneTimeLink, RefreshToken, Session, Throttle
from app.auth.services.factors import Factors
from app.auth.services.throttles import FAILURES_FORGOTTEN_AFTER
from app.core.dialects import rowcount
from app.core.lifetimes import Lifetimes
from app.core.models import Base
from app.core.service import Service
from app.files.models import StoredFile
from app.imports.models import UserImport, UserImportRow
from app.jobs.models import Job
from app.mail.models import SentMail
from app.oauth.models import SpentChallenge
from app.users.models import EmailChange

KEPT_AFTER_END = timedelta(days=30)
DEVICE_LIFETIME = timedelta(days=400)


class Housekeeping(Service):
    factors: Factors
    lifetimes: Lifetimes

    def purge(self, *, at_most: int = 5000) -> int:
        """Delete rows past their retention, `at_most` rows of each table; returns how many.

        Also encrypts secrets of earlier keys with the current key, because not every secret is used before a key is
        removed.
        """
        self.factors.reencrypt()
        self.factors.purge(keep_replaced=timedelta(hours=self.lifetimes.undo_link_hours))
        now = self.clock()
        ended = now - KEPT_AFTER_END
        return (
            self._delete(Session, or_(Session.expires_at < ended, Session.ended_at < ended), at_most)
            + self._delete(Device, Device.last_seen_at < now - DEVICE_LIFETIME, at_most)
            + self._delete(RefreshToken, RefreshToken.expires_at < ended, at_most)
            + self._delete(ApiKey, or_(ApiKey.expires_at < ended, ApiKey.ended_at < ended), at_most)
            + self._delete(IdempotentAnswer, IdempotentAnswer.created_at < now - KEPT_FOR, at_most)
            + self._delete(OneTimeLink, OneTimeLink.expires_at < ended, at_most)
            + self._delete(EmailChange, _is_over(EmailChange, ended), at_most)
            + self._delete(FactorReset, FactorReset.ended_at < ended, at_most)
            + self._delete(SpentChallenge, SpentChallenge.expires_at < now, at_most)
            + self._delete(Throttle, Throttle.last_failed_at < now - 2 * FAILURES_FORGOTTEN_AFTER, at_most)
            + self._delete(Job, Job.finished_at < now - timedelta(days=self.lifetimes.finished_job_days), at_most)
            + self._delete(StoredFile, StoredFile.expires_at < now, at_most)
            + self._delete_import(now - timedelta(days=self.lifetimes.finished_job_days), at_most)
            + self._delete(SentMail, SentMail.created_at < now - timedelta(days=self.lifetimes.sent_mail_days), at_most)
        )

    def _delete_import(self, before: datetime, at_most: int) -> int:
        """Delete rows of the oldest due import, and then the import."""
        import_id = self.session.scalar(
            select(UserImport.id).where(UserImport.created_at < before).order_by(UserImport.created_at).limit(1)
        )
        if import_id is None:
            return 0
        of_import = UserImportRow.import_id == import_id
        last = select(UserImportRow.number).where(of_import).order_by(UserImportRow.number).limit(at_most).subquery()
        some = delete(UserImportRow).where(
            of_import, UserImportRow.number <= select(func.max(last.c.number)).scalar_subquery()
        )
        deleted = rowcount(self.session, some.execution_options(synchronize_session=False))
        if deleted < at_most:
            deleted += self._delete(UserImport, UserImport.id == import_id, 1)
        return deleted

    def _delete(self, model: type[Base], is_due: ColumnElement[bool], at_most: int) -> int:
        key: Any = model.__table__.c.id
        keys = select(key).where(is_due).limit(at_most)
        return rowcount(self.session, delete(model).where(key.in_(keys)).execution_options(synchronize_session=False))


def _is_over(change: type[EmailChange], before: datetime) -> ColumnElement[bool]:
    """Return a condition for email changes that have ended, were confirmed or were requested earlier, and that no link
    can undo.
    """
    at = func.coalesce(change.ended_at, change.confirmed_at, change.requested_at)
    return and_(at < before, ~exists().where(OneTimeLink.email_change_id == change.id))
