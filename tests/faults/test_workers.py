"""Workers that are killed, told to stop, poisoned or flooded."""

import os
import signal
from datetime import UTC, datetime
from types import SimpleNamespace

from app.jobs.schedule import SCHEDULE
from app.models import JobState, MailStatus
from app.tasks import AnswerForgotPassword, NoOperation
from tests.e2e.house import until

ADA = "ada@example.com"
READER = "reader@example.com"
TROUBLED = "tests.faults.troubled_app"


def troubled(kind, *, queue="default", max_attempts=8, **arguments):
    """A task that only the troubled application knows, as the job queue stores it."""
    return SimpleNamespace(kind=lambda: kind, arguments=lambda: arguments, queue=queue, max_attempts=max_attempts)


def enqueue_reset(house):
    """The id of a job that sends Ada a link to reset her password."""
    ada = house.add_user(ADA, password="a quieter harbour")
    with house.work() as work:
        return work.enqueue(AnswerForgotPassword(user_id=ada))


def ended(house, job_id):
    """The job, once it has ended one way or the other."""
    return until(lambda: job if (job := house.job(job_id)).finished_at else None)


def test_a_mail_in_the_hands_of_a_killed_worker_is_sent_by_another_under_the_same_message_id(build, post_office):
    house = build(job_lease_seconds="1")
    house.valkey.start()
    worker = house.start_worker()
    house.start_schedule()
    post_office.hold(ADA)

    job_id = enqueue_reset(house)
    first = post_office.next_arrival()
    for child in worker.children():
        os.kill(child, signal.SIGKILL)
    post_office.release()

    done = ended(house, job_id)
    assert (done.state, done.attempts) == (JobState.DONE, 2)
    second = post_office.next_arrival()
    assert second.message_id == first.message_id
    assert second.link == first.link
    assert [(mail.status, mail.message_id) for mail in house.mails()] == [(MailStatus.SENT, first.message_id)]
    assert len(house.jobs("answer_forgot_password")) == 1


def test_a_worker_told_to_stop_finishes_the_job_in_hand_and_takes_no_other(house, post_office):
    worker = house.start_worker()
    post_office.hold(ADA)
    in_hand = enqueue_reset(house)
    post_office.next_arrival()

    worker.terminate()
    until(lambda: was_told_to_stop(house))
    with house.work() as work:
        next_one = work.enqueue(NoOperation())
    post_office.release()

    assert worker.wait() == 0
    assert house.job(in_hand).state == JobState.DONE
    assert house.job(in_hand).attempts == 1
    assert len(post_office.received) == 1
    assert (house.job(next_one).state, house.job(next_one).attempts) == (JobState.WAITING, 0)


def was_told_to_stop(house):
    """Whether the worker has noted it where RQ's workers note it."""
    queue = house.app.extensions["queue"]
    return any(queue.hexists(key, "shutdown_requested_date") for key in queue.smembers("rq:workers"))


def test_a_job_that_kills_its_worker_ends_dead_and_the_others_are_done(build):
    house = build(job_lease_seconds="1")
    house.valkey.start()
    with house.work() as work:
        poison = work.enqueue(troubled("kill_its_worker", max_attempts=2))
        harmless = work.enqueue(NoOperation())
    house.start_worker(application=TROUBLED)
    house.start_schedule(application=TROUBLED)

    dead = ended(house, poison)

    assert (dead.state, dead.attempts, dead.outcome) == (JobState.DEAD, 2, "its last try never came back")
    assert ended(house, harmless).state == JobState.DONE


def test_a_reset_mail_passes_a_flood_of_bulk_mail_that_was_there_before(house, post_office):
    post_office.hold(READER)
    with house.work() as work:
        flood = [work.enqueue(troubled("send_newsletter", queue="bulk", to=READER)) for _ in range(20)]
    house.start_worker(processes=2, application=TROUBLED)
    assert post_office.next_arrival().to == READER

    reset = ended(house, enqueue_reset(house))

    assert reset.state == JobState.DONE
    assert [mail.to for mail in post_office.received] == [ADA]
    assert {house.job(each).state for each in flood} <= {JobState.WAITING, JobState.RUNNING}
    post_office.release()
    for each in flood:
        assert ended(house, each).state == JobState.DONE


def test_one_worker_alone_takes_the_urgent_first(house, post_office):
    with house.work() as work:
        flood = [work.enqueue(troubled("send_newsletter", queue="bulk", to=READER)) for _ in range(20)]
    reset = enqueue_reset(house)

    house.start_worker(application=TROUBLED)

    done = [ended(house, each) for each in [*flood, reset]]
    assert min(done, key=lambda job: job.finished_at).id == reset


def test_two_schedules_make_each_tick_once(build):
    house = build()
    began = datetime.now(UTC)

    schedules = [house.start("schedule", "jobs", "schedule", "--once") for _ in range(2)]

    assert [schedule.wait() for schedule in schedules] == [0, 0]
    made = [job.dedupe_key for job in house.jobs()]
    assert sorted(made) == sorted({tick.key(at) for tick in SCHEDULE for at in (began, datetime.now(UTC))})
