from datetime import timedelta

import pytest
from sqlalchemy import event, func, select

from app.auth.emails.sign_in import SendNewDevice
from app.core.errors import JobCancelled, LeaseLost
from app.jobs.models import Job, JobState
from app.jobs.services.queue import FIRST_DELAY, MAX_DELAY, STOPPED, Claim, DueJob
from app.jobs.tasks import NoOperation, Task
from app.ops.tasks import PurgeExpired


@pytest.fixture
def job_id(job_queue):
    return job_queue.enqueue(NoOperation())


def state_of(session, job_id):
    session.expire_all()
    return session.get(Job, job_id)


def test_job_is_a_row_and_one_queue_message(job_queue, due_jobs, session):
    job_id = job_queue.enqueue(SendNewDevice(user_id=3, session_id=4))

    job = state_of(session, job_id)
    assert (job.kind, job.arguments) == ("send_new_device", {"user_id": 3, "session_id": 4})
    assert (job.state, job.queue, job.attempts) == (JobState.WAITING, "default", 0)
    assert due_jobs == [DueJob(job_id, "default")]


def test_equal_key_is_enqueued_once(job_queue, due_jobs, session):
    first = job_queue.enqueue(PurgeExpired(), dedupe_key="purge:today")

    assert job_queue.enqueue(PurgeExpired(), dedupe_key="purge:today") is None
    assert job_queue.was_enqueued("purge:today")
    assert not job_queue.was_enqueued("purge:tomorrow")
    assert [due.job_id for due in due_jobs] == [first]
    assert session.scalar(select(func.count()).select_from(Job)) == 1


def test_jobs_without_a_key_are_separate(job_queue):
    assert job_queue.enqueue(NoOperation()) != job_queue.enqueue(NoOperation())


def test_claim_holds_the_job_for_its_lease(job_queue, job_id, clock, lifetimes):
    assert job_queue.claim(job_id) == Claim(job_id, "no_operation", {}, 1, "r-1")
    assert job_queue.claim(job_id) is None

    clock.advance(seconds=lifetimes.job_lease_seconds)
    assert job_queue.claim(job_id) is None
    clock.advance(seconds=1)
    assert job_queue.claim(job_id).attempt == 2


def test_job_that_is_not_due_is_not_claimed(job_queue, job_id, clock):
    job_queue.retry_later(job_queue.claim(job_id), outcome="later")

    assert job_queue.claim(job_id) is None


def test_missing_job_is_not_claimed(job_queue):
    assert job_queue.claim(12345) is None


def test_acknowledged_job_is_done(job_queue, job_id, session, clock):
    job_queue.complete(job_queue.claim(job_id), outcome="well done")

    job = state_of(session, job_id)
    assert (job.state, job.outcome) == (JobState.DONE, "well done")
    assert (job.started_at, job.finished_at, job.lease_until) == (clock.now, clock.now, None)
    assert job_queue.claim(job_id) is None


@pytest.mark.parametrize(
    "settle",
    [
        lambda job_queue, claim: job_queue.complete(claim),
        lambda job_queue, claim: job_queue.heartbeat(claim, done=50),
        lambda job_queue, claim: job_queue.retry_later(claim, outcome="later"),
        lambda job_queue, claim: job_queue.discard(claim, outcome="never"),
    ],
    ids=["complete", "heartbeat", "retry_later", "discard"],
)
def test_lost_lease_prevents_further_changes(job_queue, job_id, clock, session, settle):
    late = job_queue.claim(job_id)
    clock.advance(hours=1)
    present = job_queue.claim(job_id)

    with pytest.raises(LeaseLost):
        settle(job_queue, late)

    assert state_of(session, job_id).attempts == 2
    job_queue.complete(present)
    with pytest.raises(LeaseLost):
        settle(job_queue, present)


def test_long_job_renews_its_lease_and_reports_progress(job_queue, job_id, clock, session):
    claim = job_queue.claim(job_id)
    for progress in (25, 50, 75):
        clock.advance(seconds=110)
        job_queue.heartbeat(claim, done=progress, total=100, position={"row": progress})

    job = state_of(session, job_id)
    assert (job.progress_done, job.progress_total, job.position) == (75, 100, {"row": 75})
    assert job_queue.claim(job_id) is None


def test_later_attempt_continues_at_the_last_position(job_queue, job_id, clock):
    job_queue.heartbeat(job_queue.claim(job_id), done=40, total=100, position={"row": 40})
    clock.advance(hours=1)

    claim = job_queue.claim(job_id)

    assert (claim.attempt, claim.done, claim.position) == (2, 40, {"row": 40})


def test_progress_resets_the_number_of_attempts(job_queue, job_id, session, clock):
    for row in range(1, 3 * Task.max_attempts):
        job_queue.heartbeat(job_queue.claim(job_id), done=row, position={"row": row})
        clock.advance(hours=1)
        job_queue.rescue()

    for _ in range(Task.max_attempts):
        job_queue.claim(job_id)  # No more progress.
        clock.advance(hours=1)
        job_queue.rescue()
    assert state_of(session, job_id).state == JobState.DEAD


def test_requeued_job_is_due_at_once_and_does_not_count_the_attempt(job_queue, job_id, due_jobs, session):
    claim = job_queue.claim(job_id)
    due_jobs.clear()

    job_queue.hand_back(claim)

    job = state_of(session, job_id)
    assert (job.state, job.max_attempts - job.attempts) == (JobState.WAITING, Task.max_attempts)
    assert due_jobs == [DueJob(job_id, "default")]
    assert job_queue.claim(job_id)


def test_wait_doubles_with_each_failed_attempt(job_queue, session, clock):
    job_id = job_queue.enqueue(NoOperation())
    waits = []
    for _ in range(Task.max_attempts - 1):
        job_queue.retry_later(job_queue.claim(job_id), outcome="the mail server is away")
        job = state_of(session, job_id)
        waits.append((job.run_after - clock.now).total_seconds())
        clock.now = job.run_after

    expected = [FIRST_DELAY.total_seconds() * 2**attempt for attempt in range(Task.max_attempts - 1)]
    assert all(0.8 * want <= wait <= 1.2 * want for wait, want in zip(waits, expected, strict=True))
    assert state_of(session, job_id).outcome == "the mail server is away"


def test_wait_is_at_most_about_an_hour(job_queue, job_id, session, clock):
    state_of(session, job_id).max_attempts = 2000
    session.flush()
    for _ in range(1100):
        job_queue.retry_later(job_queue.claim(job_id), outcome="later")
        clock.now = state_of(session, job_id).run_after

    job_queue.retry_later(job_queue.claim(job_id), outcome="later")
    assert state_of(session, job_id).run_after - clock.now <= MAX_DELAY * 1.2


def test_job_is_dead_and_shown_after_its_last_attempt(job_queue, job_id, session, clock):
    for _ in range(Task.max_attempts):
        job_queue.retry_later(job_queue.claim(job_id), outcome="failed with ValueError")
        clock.advance(hours=2)

    job = state_of(session, job_id)
    assert (job.state, job.outcome) == (JobState.DEAD, "failed with ValueError")
    assert job_queue.claim(job_id) is None


def test_job_that_kills_its_workers_ends_dead(job_queue, job_id, session, clock):
    for _ in range(Task.max_attempts):
        assert job_queue.claim(job_id)
        clock.advance(hours=1)

    assert job_queue.claim(job_id) is None
    job_queue.rescue()
    job = state_of(session, job_id)
    assert (job.state, job.outcome) == (JobState.DEAD, "the worker stopped during the last attempt")


def test_rescue_notifies_of_unclaimed_jobs(job_queue, job_id, due_jobs, clock, lifetimes):
    due_jobs.clear()
    assert job_queue.rescue() == 0

    clock.advance(seconds=lifetimes.notify_again_seconds + 1)
    assert job_queue.rescue() == 1
    assert job_queue.rescue() == 0
    assert due_jobs == [DueJob(job_id, "default")]


def test_rescue_notifies_of_jobs_whose_worker_died(job_queue, job_id, due_jobs, clock):
    job_queue.claim(job_id)
    due_jobs.clear()
    clock.advance(seconds=119)
    assert job_queue.rescue() == 0

    clock.advance(seconds=2)
    assert job_queue.rescue() == 1


def test_rescue_notifies_of_delayed_jobs_once_due(job_queue, job_id, due_jobs, session, clock):
    job_queue.retry_later(job_queue.claim(job_id), outcome="later")
    due_jobs.clear()
    assert job_queue.rescue() == 0

    clock.now = state_of(session, job_id).run_after
    assert job_queue.rescue() == 1


def test_rescue_ignores_finished_jobs(job_queue, job_board, job_id, clock):
    job_queue.complete(job_queue.claim(job_id))
    cancelled = job_queue.enqueue(NoOperation())
    job_board.cancel(cancelled)
    clock.advance(days=1)

    assert job_queue.rescue() == 0


def test_rescue_takes_the_oldest_up_to_its_limit(job_queue, due_jobs, clock):
    jobs = []
    for _ in range(5):
        jobs.append(job_queue.enqueue(NoOperation()))
        clock.advance(seconds=1)
    due_jobs.clear()
    clock.advance(minutes=5)

    assert job_queue.rescue(at_most=3) == 3
    assert [due.job_id for due in due_jobs] == jobs[:3]


def test_rescue_notifies_only_queues_with_room(job_queue, job_id, due_jobs, clock):
    due_jobs.clear()
    clock.advance(minutes=5)

    assert job_queue.rescue(queues=["urgent", "bulk"]) == 0
    assert job_queue.rescue(queues=["urgent", "default"]) == 1
    assert due_jobs == [DueJob(job_id, "default")]


def test_overdue_jobs_are_counted(job_queue, job_id, clock):
    clock.advance(seconds=11)

    assert job_queue.count_overdue(by=timedelta(seconds=10)) == 1
    assert job_queue.count_overdue(by=timedelta(seconds=12)) == 0


def test_due_jobs_are_found_without_reading_history(session, job_queue):
    queries = []
    event.listen(session.get_bind(), "before_cursor_execute", lambda *call: queries.append((call[2], call[3])))
    job_queue.rescue()
    job_queue.count_overdue(by=timedelta(seconds=10))
    selects = [query for query in queries if query[0].startswith("SELECT")]

    assert len(selects) == 2
    for statement, values in selects:
        plan = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all()
        assert "SCAN" not in str(plan)


# ── cancelled while running ──


def test_running_job_learns_of_its_cancellation_at_the_heartbeat(job_queue, job_board, job_id, session):
    claim = job_queue.claim(job_id)
    assert job_board.cancel(job_id) == JobState.RUNNING

    with pytest.raises(JobCancelled):
        job_queue.heartbeat(claim, done=1)
    job_queue.stop(claim)

    job = state_of(session, job_id)
    assert (job.state, job.outcome) == (JobState.CANCELLED, STOPPED)


@pytest.mark.parametrize(
    "back",
    [lambda queue, claim: queue.retry_later(claim, outcome="later"), lambda queue, claim: queue.hand_back(claim)],
    ids=["retry_later", "hand_back"],
)
def test_cancelled_job_is_not_retried(job_queue, job_board, job_id, session, clock, back):
    claim = job_queue.claim(job_id)
    job_board.cancel(job_id)

    back(job_queue, claim)

    assert state_of(session, job_id).state == JobState.CANCELLED
    assert job_queue.claim(job_id) is None


def test_cancelled_job_of_a_dead_worker_is_not_restarted(job_queue, job_board, job_id, session, clock):
    job_queue.claim(job_id)
    job_board.cancel(job_id)
    clock.advance(hours=1)

    assert job_queue.claim(job_id) is None
    assert job_queue.rescue() == 0
    assert state_of(session, job_id).state == JobState.CANCELLED


def test_job_that_finished_despite_cancellation_is_done(job_queue, job_board, job_id, session):
    claim = job_queue.claim(job_id)
    job_board.cancel(job_id)

    job_queue.complete(claim)

    assert state_of(session, job_id).state == JobState.DONE
