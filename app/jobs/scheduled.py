"""Handlers of scheduled tasks, and of one that does nothing."""

from collections.abc import Callable, Iterator
from contextlib import suppress

from app.audit.services.chain import BATCH
from app.auth.services.last_seen import Use
from app.core.cache import cache
from app.emails.accounts import SendWeeklyReport
from app.jobs.registry import Run, handles, handles_in_steps
from app.jobs.services.queue import Claim
from app.jobs.tasks import (
    CountStatistics,
    EndExpiredSuspensions,
    NoOperation,
    PurgeExpired,
    PurgeUnconfirmed,
    ResetFactors,
    SaveLastSeen,
    SealAuditEvents,
    SendWeeklyReports,
    WarnOfExpiringKeys,
)
from app.unit_of_work import Work

DAYS_IN_A_STEP = 31


@handles_in_steps(PurgeUnconfirmed)
def purge_unconfirmed(run: Run, task: PurgeUnconfirmed) -> str:
    erased = _until_less(run, 1000, lambda work: work.registration.purge_unconfirmed(at_most=1000))
    return f"accounts erased: {erased}"


@handles_in_steps(EndExpiredSuspensions)
def settle_accounts(run: Run, task: EndExpiredSuspensions) -> str:
    ended = _until_less(
        run, 100, lambda work: work.users.process_expired(at_most=100) + work.impersonation.process_expired(at_most=100)
    )
    return f"expired suspensions and impersonations ended: {ended}"


@handles_in_steps(SealAuditEvents)
def seal_audit_events(run: Run, task: SealAuditEvents) -> str:
    sealed = _until_less(run, BATCH, lambda work: work.audit_chain.seal())
    pruned = _until_less(run, 1, lambda work: work.audit_chain.prune())
    return f"events sealed: {sealed}, deleted: {pruned}"


@handles_in_steps(PurgeExpired)
def purge_expired(run: Run, task: PurgeExpired) -> str:
    return f"rows deleted: {_until_less(run, 5000, lambda work: work.housekeeping.purge(at_most=5000))}"


@handles_in_steps(SaveLastSeen)
def note_uses(run: Run, task: SaveLastSeen) -> str:
    return f"last-seen times saved: {_until_less(run, 1000, _note_some)}"


def _note_some(work: Work) -> int:
    notes = cache.take("uses", at_most=1000)
    work.last_seen.note(_readable(notes))
    return len(notes)


def _readable(notes: dict[str, str | None]) -> Iterator[Use]:
    for key, at in notes.items():
        # An earlier or a later version may have put in something else.
        with suppress(ValueError):
            yield Use.read(key, at or "")


@handles_in_steps(WarnOfExpiringKeys)
def warn_of_expiring_keys(run: Run, task: WarnOfExpiringKeys) -> str:
    return f"warnings: {_until_less(run, 500, lambda work: work.api_keys.warn_of_expiry(at_most=500))}"


@handles_in_steps(CountStatistics)
def count_statistics(run: Run, task: CountStatistics) -> None:
    with run.step() as work:
        work.statistics.count_hours()
        days = work.statistics.days_to_count()
    for first in range(0, len(days), DAYS_IN_A_STEP):
        batch = days[first : first + DAYS_IN_A_STEP]
        with run.step() as work:
            for day in batch:
                work.statistics.count_day(day)
            work.progress(first + len(batch), len(days))


@handles(SendWeeklyReports)
def send_weekly_reports(work: Work, task: SendWeeklyReports, claim: Claim) -> None:
    for user_id in work.statistics.list_subscribers():
        work.enqueue(SendWeeklyReport(user_id))


@handles(ResetFactors)
def reset_factors(work: Work, task: ResetFactors, claim: Claim) -> None:
    work.factor_resets.apply_reset(task.reset_id)


@handles(NoOperation)
def no_operation(work: Work, task: NoOperation, claim: Claim) -> None:
    return None


def _until_less(run: Run, batch: int, act: Callable[[Work], int]) -> int:
    """Repeat `act`, one step each, until it processed less than a batch; return the total."""
    done = 0
    while True:
        with run.step() as work:
            count = act(work)
            done += count
            work.progress(done)
        if count < batch:
            return done
