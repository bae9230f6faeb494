from datetime import UTC, timedelta

import pytest
from sqlalchemy import select

from app.audit.models import AuditEvent
from app.auth.emails.sign_in import SendNewDevice, SendPasswordChanged
from app.core.errors import JobNotCancellable, JobNotFound, JobNotRetryable, JobNotStartable, ScheduleNotFound
from app.features import load_features
from app.jobs.models import Job, JobState
from app.jobs.services.board import JobFilter, Pace
from app.jobs.services.queue import DueJob
from app.jobs.services.schedule import Schedule
from app.jobs.tasks import NoOperation, Task
from app.ops.tasks import PurgeExpired

SCHEDULE = load_features().schedule


@pytest.fixture
def job_id(job_queue):
    return job_queue.enqueue(NoOperation())


@pytest.fixture
def schedule(session, audit, job_queue, clock):
    return Schedule(session=session, audit=audit, entries=SCHEDULE, job_queue=job_queue, zone=UTC, clock=clock)


def state_of(session, job_id):
    session.expire_all()
    return session.get(Job, job_id)


def kinds(session):
    return list(session.scalars(select(AuditEvent.kind).order_by(AuditEvent.id)))


def test_dead_job_can_be_retried(job_queue, job_board, job_id, due_jobs, session):
    job_queue.discard(job_queue.claim(job_id), outcome="550 no such user")
    due_jobs.clear()

    job_board.retry(job_id)

    job = state_of(session, job_id)
    assert (job.state, job.max_attempts - job.attempts, job.finished_at) == (
        JobState.WAITING,
        Task.max_attempts,
        None,
    )
    assert due_jobs == [DueJob(job_id, "default")]
    assert job_queue.claim(job_id).attempt == 2


def test_retried_job_gets_the_attempts_of_its_kind(job_queue, job_board, session):
    job_id = job_queue.enqueue(SendPasswordChanged(user_id=1, event_id=1))
    job_queue.discard(job_queue.claim(job_id), outcome="550 no such user")
    job_board.retry(job_id)
    job = state_of(session, job_id)
    assert job.max_attempts - job.attempts == SendPasswordChanged.max_attempts == 42


def test_only_dead_jobs_can_be_retried(job_queue, job_board, job_id):
    with pytest.raises(JobNotRetryable):
        job_board.retry(job_id)
    job_queue.complete(job_queue.claim(job_id))
    with pytest.raises(JobNotRetryable):
        job_board.retry(job_id)
    with pytest.raises(JobNotFound):
        job_board.retry(12345)


def test_waiting_job_can_be_cancelled(job_queue, job_board, job_id, session):
    job_board.cancel(job_id)

    assert state_of(session, job_id).state == JobState.CANCELLED
    assert job_queue.claim(job_id) is None
    job_board.retry(job_id)
    assert job_queue.claim(job_id)


def test_finished_job_cannot_be_cancelled(job_queue, job_board, job_id):
    job_queue.complete(job_queue.claim(job_id))

    with pytest.raises(JobNotCancellable):
        job_board.cancel(job_id)
    with pytest.raises(JobNotFound):
        job_board.cancel(12345)


def test_list_is_newest_first_and_continues_at_the_cursor(job_queue, job_board):
    jobs = [job_queue.enqueue(NoOperation()) for _ in range(5)]

    assert [job.id for job in job_board.list(limit=2)] == jobs[:-3:-1]
    assert [job.id for job in job_board.list(JobFilter(before=jobs[2]))] == [jobs[1], jobs[0]]
    assert job_board.list(JobFilter(("done",))) == []


def test_retrying_jobs_differ_from_those_before_their_first_attempt(job_queue, job_board):
    fresh, failed = job_queue.enqueue(NoOperation()), job_queue.enqueue(NoOperation())
    job_queue.retry_later(job_queue.claim(failed), outcome="later")
    running = job_queue.enqueue(PurgeExpired())
    job_queue.claim(running)

    def ids(*situations, kind=None):
        return [job.id for job in job_board.list(JobFilter(situations, kind))]

    assert ids("retrying") == [failed]
    assert ids("waiting") == [failed, fresh]
    assert ids("retrying", "running") == [running, failed]
    assert ids(kind="purge_expired") == [running]
    assert ids("waiting", kind="purge_expired") == []


def test_retry_all_retries_exactly_the_matching_jobs(job_queue, job_board, session, due_jobs):
    dead = [job_queue.enqueue(SendNewDevice(user_id=1, session_id=number)) for number in range(3)]
    other = job_queue.enqueue(NoOperation())
    for job_id in (*dead, other):
        job_queue.discard(job_queue.claim(job_id), outcome="no")
    done = job_queue.enqueue(SendNewDevice(user_id=1, session_id=9))
    job_queue.complete(job_queue.claim(done))
    due_jobs.clear()

    assert job_board.retry_all(JobFilter(kind="send_new_device"), at_most=2) == 2
    assert job_board.retry_all(JobFilter(("dead",), "send_new_device")) == 1
    assert job_board.retry_all(JobFilter(("done",))) == 0

    states = [state_of(session, job_id).state for job_id in (*dead, other, done)]
    assert states == ["waiting", "waiting", "waiting", "dead", "done"]
    assert due_jobs == []
    assert job_queue.rescue() == 3
    assert kinds(session) == ["jobs.retried", "jobs.retried"]


def test_retrying_job_can_be_run_now(job_queue, job_board, job_id, due_jobs, session):
    job_queue.retry_later(job_queue.claim(job_id), outcome="later")
    due_jobs.clear()

    job_board.run_now(job_id)

    assert due_jobs == [DueJob(job_id, "default")]
    claim = job_queue.claim(job_id)
    with pytest.raises(JobNotStartable):
        job_board.run_now(job_id)
    job_queue.complete(claim)
    assert kinds(session) == ["job.run"]


def test_rate_and_time_left_are_those_of_the_current_attempt(job_queue, job_board, job_id, session, clock):
    job_queue.heartbeat(job_queue.claim(job_id), done=500, total=1000)
    clock.advance(hours=1)
    claim = job_queue.claim(job_id)
    assert job_board.pace(state_of(session, job_id)) == Pace(50, None, None)

    clock.advance(seconds=10)
    job_queue.heartbeat(claim, done=600, total=1000)

    assert job_board.pace(state_of(session, job_id)) == Pace(60, 10.0, timedelta(seconds=40))
    job_queue.complete(claim)
    assert job_board.pace(state_of(session, job_id)).left is None


def test_job_of_unknown_length_has_a_rate_but_no_end(job_queue, job_board, job_id, session, clock):
    claim = job_queue.claim(job_id)
    clock.advance(seconds=2)
    job_queue.heartbeat(claim, done=30)

    assert job_board.pace(state_of(session, job_id)) == Pace(None, 15.0, None)


# ── the schedule ──


def test_each_entry_is_enqueued_once_a_period(schedule, session, clock):
    schedule.enqueue_due()
    schedule.enqueue_due()

    assert len(list(session.scalars(select(Job)))) == len(SCHEDULE)


def test_paused_entry_waits_until_resumed(schedule, session, clock):
    name = SCHEDULE[0].name
    schedule.pause(name)
    schedule.pause(name)
    schedule.enqueue_due()
    assert SCHEDULE[0].task.kind not in session.scalars(select(Job.kind)).all()
    planned = schedule.list()[0]
    assert (planned.paused_at, planned.next_at, planned.last) == (clock.now, None, None)

    schedule.resume(name)
    schedule.resume(name)
    assert schedule.list()[0].next_at == clock.now
    schedule.enqueue_due()

    planned = schedule.list()[0]
    assert planned.last.kind == SCHEDULE[0].task.kind
    assert clock.now < planned.next_at <= clock.now + SCHEDULE[0].every
    assert kinds(session) == ["schedule.paused", "schedule.resumed"]


def test_entry_can_be_run_outside_its_periods(schedule, session, clock):
    schedule.enqueue_due()
    job_id = schedule.run_now("purge-expired")

    assert state_of(session, job_id).dedupe_key is None
    assert [planned.last.id for planned in schedule.list() if planned.entry.name == "purge-expired"] == [job_id]


@pytest.mark.parametrize("act", ["pause", "resume", "run_now"])
def test_unknown_entry_is_refused(schedule, act):
    with pytest.raises(ScheduleNotFound):
        getattr(schedule, act)("fly-to-the-moon")
