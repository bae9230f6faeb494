"""Scheduled tasks, and one that does nothing."""

from __future__ import annotations

from app.jobs.registry import handles
from app.services.audit_chain import BATCH
from app.services.job_queue import Claim
from app.tasks import NoOperation, PurgeExpired, PurgeUnconfirmed, SealAuditEvents, SettleAccounts, WarnOfExpiringKeys
from app.unit_of_work import Work


@handles(PurgeUnconfirmed)
def purge_unconfirmed(work: Work, task: PurgeUnconfirmed, claim: Claim) -> None:
    """What does not fit in one transaction is enqueued again."""
    if work.registration.purge_unconfirmed(at_most=1000) == 1000:
        work.enqueue(PurgeUnconfirmed())


@handles(SettleAccounts)
def settle_accounts(work: Work, task: SettleAccounts, claim: Claim) -> None:
    """What does not fit in one transaction is enqueued again."""
    if work.users.settle(at_most=100) + work.impersonation.settle(at_most=100) >= 100:
        work.enqueue(SettleAccounts())


@handles(SealAuditEvents)
def seal_audit_events(work: Work, task: SealAuditEvents, claim: Claim) -> None:
    """One batch each; what remains is enqueued again."""
    sealed, pruned = work.audit_chain.seal(), work.audit_chain.prune()
    if sealed == BATCH or pruned:
        work.enqueue(SealAuditEvents())


@handles(PurgeExpired)
def purge_expired(work: Work, task: PurgeExpired, claim: Claim) -> None:
    """What does not fit in one transaction is enqueued again."""
    if work.housekeeping.purge(at_most=5000) >= 5000:
        work.enqueue(PurgeExpired())


@handles(WarnOfExpiringKeys)
def warn_of_expiring_keys(work: Work, task: WarnOfExpiringKeys, claim: Claim) -> None:
    """What does not fit in one transaction is enqueued again."""
    if work.api_keys.warn_of_ends(at_most=500) == 500:
        work.enqueue(WarnOfExpiringKeys())


@handles(NoOperation)
def no_operation(work: Work, task: NoOperation, claim: Claim) -> None:
    return None
