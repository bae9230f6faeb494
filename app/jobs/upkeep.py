"""Promises that keep the house clean, and one that does nothing."""

from __future__ import annotations

from app.jobs.registry import keeps
from app.promises import NoOperation, PurgeExpired, PurgeUnconfirmed, WarnOfExpiringKeys
from app.services.ledger import Claim
from app.unit_of_work import Work


@keeps(PurgeUnconfirmed)
def purge_unconfirmed(work: Work, promise: PurgeUnconfirmed, claim: Claim) -> None:
    """What does not fit in one transaction is promised again."""
    if work.registration.purge_unconfirmed(at_most=1000) == 1000:
        work.promise(PurgeUnconfirmed())


@keeps(PurgeExpired)
def purge_expired(work: Work, promise: PurgeExpired, claim: Claim) -> None:
    """What does not fit in one transaction is promised again."""
    if work.housekeeping.purge(at_most=5000) >= 5000:
        work.promise(PurgeExpired())


@keeps(WarnOfExpiringKeys)
def warn_of_expiring_keys(work: Work, promise: WarnOfExpiringKeys, claim: Claim) -> None:
    """What does not fit in one transaction is promised again."""
    if work.api_keys.warn_of_ends(at_most=500) == 500:
        work.promise(WarnOfExpiringKeys())


@keeps(NoOperation)
def no_operation(work: Work, promise: NoOperation, claim: Claim) -> None:
    return None
