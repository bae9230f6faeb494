from datetime import timedelta

import pytest
from sqlalchemy import event, func, select

from app.errors import JobNotCancellable, JobNotFound, JobNotRetryable, LeaseLost
from app.models import Job, JobState
from app.services.ledger import FIRST_DELAY, LONGEST_DELAY, Claim, Ring
from app.tasks import NoOperation, PurgeExpired, SendNewDevice, Task


@pytest.fixture
def job_id(ledger):
    return ledger.enqueue(NoOperation())


def state_of(session, job_id):
    session.expire_all()
    return session.get(Job, job_id)


def test_a_job_is_a_row_and_one_call_for_a_worker(ledger, rings):
    job_id = ledger.enqueue(SendNewDevice(user_id=3, session_id=4))

    job = ledger.get(job_id)
    assert (job.kind, job.arguments) == ("send_new_device", {"user_id": 3, "session_id": 4})
    assert (job.state, job.queue, job.attempts) == (JobState.WAITING, "default", 0)
    assert rings == [Ring(job_id, "default")]


def test_the_same_key_is_enqueued_once(ledger, rings, session):
    first = ledger.enqueue(PurgeExpired(), dedupe_key="purge:today")

    assert ledger.enqueue(PurgeExpired(), dedupe_key="purge:today") is None
    assert ledger.was_enqueued("purge:today")
    assert not ledger.was_enqueued("purge:tomorrow")
    assert [ring.job_id for ring in rings] == [first]
    assert session.scalar(select(func.count()).select_from(Job)) == 1


def test_jobs_without_a_key_are_each_their_own(ledger):
    assert ledger.enqueue(NoOperation()) != ledger.enqueue(NoOperation())


def test_a_claim_holds_the_job_for_its_lease(ledger, job_id, clock, lifetimes):
    assert ledger.claim(job_id) == Claim(job_id, "no_operation", {}, 1, None)
    assert ledger.claim(job_id) is None

    clock.advance(seconds=lifetimes.job_lease.total_seconds())
    assert ledger.claim(job_id) is None
    clock.advance(seconds=1)
    assert ledger.claim(job_id).attempt == 2


def test_a_job_that_is_not_due_is_not_claimed(ledger, job_id, clock):
    ledger.postpone(ledger.claim(job_id), outcome="later")

    assert ledger.claim(job_id) is None


def test_a_job_that_does_not_exist_is_not_claimed(ledger):
    assert ledger.claim(12345) is None


def test_an_acknowledged_job_is_done(ledger, job_id, session, clock):
    ledger.acknowledge(ledger.claim(job_id), outcome="well done")

    job = state_of(session, job_id)
    assert (job.state, job.progress, job.outcome) == (JobState.DONE, 100, "well done")
    assert (job.started_at, job.finished_at, job.lease_until) == (clock.now, clock.now, None)
    assert ledger.claim(job_id) is None


@pytest.mark.parametrize(
    "settle",
    [
        lambda ledger, claim: ledger.acknowledge(claim),
        lambda ledger, claim: ledger.renew(claim, progress=50),
        lambda ledger, claim: ledger.postpone(claim, outcome="later"),
        lambda ledger, claim: ledger.bury(claim, outcome="never"),
    ],
    ids=["acknowledge", "renew", "postpone", "bury"],
)
def test_who_lost_the_lease_changes_nothing_any_more(ledger, job_id, clock, session, settle):
    late = ledger.claim(job_id)
    clock.advance(hours=1)
    present = ledger.claim(job_id)

    with pytest.raises(LeaseLost):
        settle(ledger, late)

    assert state_of(session, job_id).attempts == 2
    ledger.acknowledge(present)
    with pytest.raises(LeaseLost):
        settle(ledger, present)


def test_a_long_job_renews_its_lease_and_says_how_far_it_is(ledger, job_id, clock, session):
    claim = ledger.claim(job_id)
    for progress in (25, 50, 75):
        clock.advance(seconds=110)
        ledger.renew(claim, progress=progress)

    assert state_of(session, job_id).progress == 75
    assert ledger.claim(job_id) is None


def test_each_failed_try_waits_about_twice_as_long_as_the_one_before(ledger, session, clock):
    job_id = ledger.enqueue(NoOperation())
    waits = []
    for _ in range(Task.max_attempts - 1):
        ledger.postpone(ledger.claim(job_id), outcome="the mail server is away")
        job = state_of(session, job_id)
        waits.append((job.run_after - clock.now).total_seconds())
        clock.now = job.run_after

    expected = [FIRST_DELAY.total_seconds() * 2**each for each in range(Task.max_attempts - 1)]
    assert all(0.8 * want <= wait <= 1.2 * want for wait, want in zip(waits, expected, strict=True))
    assert state_of(session, job_id).outcome == "the mail server is away"


def test_no_wait_is_longer_than_an_hour_or_so(ledger, job_id, session, clock):
    state_of(session, job_id).max_attempts = 50
    session.flush()
    for _ in range(20):
        ledger.postpone(ledger.claim(job_id), outcome="later")
        clock.now = state_of(session, job_id).run_after

    ledger.postpone(ledger.claim(job_id), outcome="later")
    assert state_of(session, job_id).run_after - clock.now <= LONGEST_DELAY * 1.2


def test_after_its_last_try_a_job_is_dead_and_shown(ledger, job_id, session, clock):
    for _ in range(Task.max_attempts):
        ledger.postpone(ledger.claim(job_id), outcome="failed with ValueError")
        clock.advance(hours=2)

    job = state_of(session, job_id)
    assert (job.state, job.outcome) == (JobState.DEAD, "failed with ValueError")
    assert ledger.claim(job_id) is None
    assert ledger.list(states=["dead"]) == [job]


def test_a_job_that_kills_its_workers_ends_dead(ledger, job_id, session, clock):
    for _ in range(Task.max_attempts):
        assert ledger.claim(job_id)
        clock.advance(hours=1)

    assert ledger.claim(job_id) is None
    ledger.sweep()
    job = state_of(session, job_id)
    assert (job.state, job.outcome) == (JobState.DEAD, "its last try never came back")


def test_the_sweep_calls_again_for_what_nobody_came_for(ledger, job_id, rings, clock, lifetimes):
    rings.clear()
    assert ledger.sweep() == 0

    clock.advance(seconds=lifetimes.ring_again.total_seconds() + 1)
    assert ledger.sweep() == 1
    assert ledger.sweep() == 0
    assert rings == [Ring(job_id, "default")]


def test_the_sweep_calls_for_a_job_whose_worker_died(ledger, job_id, rings, clock):
    ledger.claim(job_id)
    rings.clear()
    clock.advance(seconds=119)
    assert ledger.sweep() == 0

    clock.advance(seconds=2)
    assert ledger.sweep() == 1


def test_the_sweep_calls_for_a_postponed_job_as_soon_as_it_is_due(ledger, job_id, rings, session, clock):
    ledger.postpone(ledger.claim(job_id), outcome="later")
    rings.clear()
    assert ledger.sweep() == 0

    clock.now = state_of(session, job_id).run_after
    assert ledger.sweep() == 1


def test_the_sweep_leaves_what_is_over_alone(ledger, job_id, clock):
    ledger.acknowledge(ledger.claim(job_id))
    cancelled = ledger.enqueue(NoOperation())
    ledger.cancel(cancelled)
    clock.advance(days=1)

    assert ledger.sweep() == 0


def test_the_sweep_takes_the_oldest_first_and_no_more_than_it_is_told(ledger, rings, clock):
    jobs = []
    for _ in range(5):
        jobs.append(ledger.enqueue(NoOperation()))
        clock.advance(seconds=1)
    rings.clear()
    clock.advance(minutes=5)

    assert ledger.sweep(at_most=3) == 3
    assert [ring.job_id for ring in rings] == jobs[:3]


def test_a_dead_job_can_be_given_its_tries_again(ledger, job_id, rings, session):
    ledger.bury(ledger.claim(job_id), outcome="550 no such user")
    rings.clear()

    ledger.retry(job_id)

    job = state_of(session, job_id)
    assert (job.state, job.max_attempts - job.attempts, job.finished_at) == (
        JobState.WAITING,
        Task.max_attempts,
        None,
    )
    assert rings == [Ring(job_id, "default")]
    assert ledger.claim(job_id).attempt == 2


def test_what_is_not_dead_cannot_be_retried(ledger, job_id):
    with pytest.raises(JobNotRetryable):
        ledger.retry(job_id)
    ledger.acknowledge(ledger.claim(job_id))
    with pytest.raises(JobNotRetryable):
        ledger.retry(job_id)
    with pytest.raises(JobNotFound):
        ledger.retry(12345)


def test_a_job_that_has_not_begun_can_be_cancelled(ledger, job_id, session):
    ledger.cancel(job_id)

    assert state_of(session, job_id).state == JobState.CANCELLED
    assert ledger.claim(job_id) is None
    ledger.retry(job_id)
    assert ledger.claim(job_id)


def test_a_job_that_has_begun_cannot_be_cancelled(ledger, job_id):
    ledger.claim(job_id)

    with pytest.raises(JobNotCancellable):
        ledger.cancel(job_id)
    with pytest.raises(JobNotFound):
        ledger.cancel(12345)


def test_the_list_is_newest_first_and_goes_on_where_it_ended(ledger):
    jobs = [ledger.enqueue(NoOperation()) for _ in range(5)]

    assert [job.id for job in ledger.list(limit=2)] == jobs[:-3:-1]
    assert [job.id for job in ledger.list(before=jobs[2])] == [jobs[1], jobs[0]]
    assert ledger.list(states=["done"]) == []


def test_overdue_jobs_are_counted(ledger, job_id, clock):
    clock.advance(seconds=11)

    assert ledger.count_overdue(by=timedelta(seconds=10)) == 1
    assert ledger.count_overdue(by=timedelta(seconds=12)) == 0


def test_what_is_due_is_found_without_reading_the_history(session, ledger):
    asked = []
    event.listen(session.get_bind(), "before_cursor_execute", lambda *call: asked.append((call[2], call[3])))
    ledger.sweep()
    ledger.count_overdue(by=timedelta(seconds=10))
    selects = [each for each in asked if each[0].startswith("SELECT")]

    assert len(selects) == 2
    for statement, values in selects:
        plan = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all()
        assert "SCAN" not in str(plan)
