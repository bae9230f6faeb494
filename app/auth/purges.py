"""Deletion of expired sessions, links, factors and counters."""

from datetime import timedelta

from sqlalchemy import ColumnElement, and_, exists, func, or_

from app.auth.models import Device, OneTimeLink, RefreshToken, Session, SpentChallenge, Throttle
from app.auth.services.throttles import FAILURES_FORGOTTEN_AFTER
from app.core.retention import ended_before, purge_where
from app.unit_of_work import Work
from app.users.models import EmailChange

DEVICE_LIFETIME = timedelta(days=400)


def _purge_factors(work: Work, _at_most: int) -> int:
    work.factors.purge(keep_replaced=timedelta(hours=work.lifetimes.undo_link_hours))
    return 0


def _has_ended(work: Work) -> ColumnElement[bool]:
    before = ended_before(work)
    return or_(Session.expires_at < before, Session.ended_at < before)


def _is_over(work: Work) -> ColumnElement[bool]:
    """Return a condition for email changes that have ended, were confirmed or were requested earlier, and that no link
    can undo.
    """
    at = func.coalesce(EmailChange.ended_at, EmailChange.confirmed_at, EmailChange.requested_at)
    return and_(at < ended_before(work), ~exists().where(OneTimeLink.email_change_id == EmailChange.id))


PURGES = (
    _purge_factors,
    purge_where(Session, _has_ended),
    purge_where(Device, lambda work: Device.last_seen_at < work.clock() - DEVICE_LIFETIME),
    purge_where(RefreshToken, lambda work: RefreshToken.expires_at < ended_before(work)),
    purge_where(OneTimeLink, lambda work: OneTimeLink.expires_at < ended_before(work)),
    purge_where(EmailChange, _is_over),
    purge_where(SpentChallenge, lambda work: SpentChallenge.expires_at < work.clock()),
    purge_where(Throttle, lambda work: Throttle.last_failed_at < work.clock() - 2 * FAILURES_FORGOTTEN_AFTER),
)
