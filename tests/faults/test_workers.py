"""Workers that are killed, stopped, poisoned or flooded."""

import json
import os
import signal
from contextlib import closing
from datetime import UTC, datetime

import psutil
import pytest

from app.auth.emails.sign_in import SendPasswordReset
from app.core.redis_client import connect
from app.features import load_features
from app.jobs.models import JobState
from app.jobs.redis_queue import HEARD_WITHIN, WORKER_TTL_SECONDS
from app.jobs.tasks import NoOperation
from app.mail.models import MailStatus
from tests.support.deployment import task_of, until

SCHEDULE = load_features().schedule

pytestmark = pytest.mark.slow

ADA = "ada@example.com"
READER = "reader@example.com"
TROUBLED = "tests.faults.troubled_app"


def enqueue_reset(deployment):
    """Enqueue a job that sends Ada a reset link; return its ID."""
    ada = deployment.add_user(ADA, password="a quieter harbour")
    with deployment.work() as work:
        return work.enqueue(SendPasswordReset(user_id=ada))


def ended(deployment, job_id):
    """Return the job after it has ended."""
    return until(lambda: job if (job := deployment.job(job_id)).finished_at else None)


def test_email_of_a_killed_worker_is_sent_by_another_with_the_same_message_id(build, smtp_server):
    deployment = build(job_lease_seconds="1")
    deployment.valkey.start()
    worker = deployment.start_worker(schedule=True)
    smtp_server.hold(ADA)

    job_id = enqueue_reset(deployment)
    first = smtp_server.next_arrival()
    for child in worker.children():
        os.kill(child, signal.SIGKILL)
    smtp_server.release()

    done = ended(deployment, job_id)
    assert (done.state, done.attempts) == (JobState.DONE, 2)
    second = smtp_server.next_arrival()
    assert second.message_id == first.message_id
    assert second.link == first.link
    assert [(mail.status, mail.message_id) for mail in deployment.mails()] == [(MailStatus.SENT, first.message_id)]
    assert len(deployment.jobs("answer_forgot_password")) == 1


def test_stopping_worker_finishes_its_job_and_takes_no_other(deployment, smtp_server):
    worker = deployment.start_worker()
    smtp_server.hold(ADA)
    in_hand = enqueue_reset(deployment)
    smtp_server.next_arrival()

    worker.terminate()
    until(lambda: was_told_to_stop(deployment))
    with deployment.work() as work:
        next_one = work.enqueue(NoOperation())
    smtp_server.release()

    assert worker.wait() == 0
    assert deployment.job(in_hand).state == JobState.DONE
    assert deployment.job(in_hand).attempts == 1
    assert len(smtp_server.received) == 1
    assert (deployment.job(next_one).state, deployment.job(next_one).attempts) == (JobState.WAITING, 0)


def was_told_to_stop(deployment):
    """Return whether the worker has recorded the stop, where RQ records it."""
    queue = deployment.app.extensions["queue"]
    return any(queue.hexists(key, "shutdown_requested_date") for key in queue.smembers("rq:workers"))


@pytest.mark.deep
def test_job_that_kills_its_worker_ends_dead_and_others_complete(build):
    deployment = build(job_lease_seconds="1")
    deployment.valkey.start()
    with deployment.work() as work:
        poison = work.enqueue(task_of("kill_its_worker", max_attempts=2))
        harmless = work.enqueue(NoOperation())
    deployment.start_worker(application=TROUBLED, schedule=True)

    dead = ended(deployment, poison)

    assert (dead.state, dead.attempts, dead.outcome) == (JobState.DEAD, 2, "the worker stopped during the last attempt")
    assert ended(deployment, harmless).state == JobState.DONE


@pytest.mark.deep
def test_reset_email_overtakes_earlier_bulk_email(deployment, smtp_server):
    smtp_server.hold(READER)
    with deployment.work() as work:
        flood = [work.enqueue(task_of("send_newsletter", queue="bulk", to=READER)) for _ in range(20)]
    deployment.start_worker(processes=2, application=TROUBLED)
    assert smtp_server.next_arrival().to == READER

    reset = ended(deployment, enqueue_reset(deployment))

    assert reset.state == JobState.DONE
    assert [mail.to for mail in smtp_server.received] == [ADA]
    assert {deployment.job(job_id).state for job_id in flood} <= {JobState.WAITING, JobState.RUNNING}
    smtp_server.release()
    for job_id in flood:
        assert ended(deployment, job_id).state == JobState.DONE


@pytest.mark.deep
def test_single_worker_takes_urgent_jobs_first(deployment, smtp_server):
    with deployment.work() as work:
        flood = [work.enqueue(task_of("send_newsletter", queue="bulk", to=READER)) for _ in range(20)]
    reset = enqueue_reset(deployment)

    deployment.start_worker(application=TROUBLED)

    done = [ended(deployment, job_id) for job_id in [*flood, reset]]
    assert min(done, key=lambda job: job.finished_at).id == reset


def test_schedule_runs_with_workers_and_is_restarted(build):
    deployment = build()
    deployment.valkey.start()
    worker = deployment.start_worker(schedule=True)
    names = {entry.task.kind for entry in SCHEDULE}
    until(lambda: {job.kind for job in deployment.jobs() if job.state == JobState.DONE} == names, why=deployment.told)
    before = worker.children()
    assert len(before) == 2

    for child in before:
        os.kill(child, signal.SIGKILL)

    until(lambda: len(worker.children()) == 2 and not set(before) & set(worker.children()), why=deployment.told)
    with deployment.work() as work:
        job_id = work.enqueue(NoOperation())
    assert ended(deployment, job_id).state == JobState.DONE


@pytest.mark.deep
def test_without_schedule_workers_run_only_enqueued_jobs(deployment):
    worker = deployment.start_worker()
    with deployment.work() as work:
        job_id = work.enqueue(NoOperation())

    assert ended(deployment, job_id).state == JobState.DONE
    assert [job.id for job in deployment.jobs()] == [job_id]
    assert len(worker.children()) == 1


def test_workers_fork_without_open_connections_and_load_new_code_on_hang_up(build, tmp_path):
    loads = tmp_path / "loads.txt"
    (tmp_path / "counted_app.py").write_text(
        f"from wsgi import app\nwith open({str(loads)!r}, 'a') as file:\n    file.write('loaded\\n')\n"
    )
    deployment = build()
    deployment.environment["PYTHONPATH"] = str(tmp_path)
    deployment.valkey.start()
    worker = deployment.start_worker(schedule=True, application="counted_app")
    before = until(lambda: len(children := worker.children()) == 2 and children, why=deployment.told)
    parent = psutil.Process(worker.pid)
    assert parent.num_threads() == 1
    assert parent.net_connections("all") == []
    assert loads.read_text().splitlines() == ["loaded"]

    parent.send_signal(signal.SIGHUP)

    after = until(lambda: len(children := worker.children()) == 2 and not set(children) & set(before) and children)
    assert loads.read_text().splitlines() == ["loaded", "loaded"]
    assert worker.is_alive()
    with deployment.work() as work:
        job_id = work.enqueue(NoOperation())
    assert ended(deployment, job_id).state == JobState.DONE
    worker.terminate()
    assert worker.wait() == 0
    until(lambda: not any(psutil.pid_exists(pid) for pid in after))


@pytest.mark.deep
@pytest.mark.parametrize(("number", "times"), [(signal.SIGTERM, 20), (signal.SIGINT, 4)])
def test_idle_worker_stops_on_repeated_signals_to_any_of_its_processes(deployment, number, times):
    for signalled in range(times):
        stop_an_idle_worker(deployment, number, is_sent_to_all=signalled % 2 == 1)


def stop_an_idle_worker(deployment, number, *, is_sent_to_all):
    worker = deployment.start_worker(processes=2, schedule=True)
    children = until(lambda: len(family := worker.children()) == 3 and family, why=deployment.told)
    with deployment.work() as work:
        job_id = work.enqueue(NoOperation())
    assert ended(deployment, job_id).state == JobState.DONE

    if is_sent_to_all:  # As systemd's default KillMode and a terminal do, repeatedly.
        for _ in range(20):
            os.killpg(worker.pid, number)
    os.kill(worker.pid, number)

    assert worker.wait() == 0  # It is never killed, so this waits as long as the test's timeout.
    until(lambda: not any(psutil.pid_exists(pid) for pid in children))


def test_idle_worker_sends_a_heartbeat_before_it_expires(deployment):
    """RQ sends a heartbeat 15 seconds before its limit, and the key lives a minute longer."""
    deployment.start_worker(processes=2)
    with closing(connect(deployment.valkey.url)) as connection:
        heartbeats = until(lambda: len(keys := connection.keys("rq:worker:*")) == 2 and keys, why=deployment.told)
        assert all(0 < connection.ttl(key) <= WORKER_TTL_SECONDS + 60 for key in heartbeats)
    assert HEARD_WITHIN.total_seconds() > WORKER_TTL_SECONDS - 15


@pytest.mark.deep
def test_workers_started_before_the_queue_take_jobs_once_it_is_up(build, tmp_path):
    deployment = build()
    deployment.settings["redis_url"] = deployment.valkey.url
    worker = deployment.start_worker()
    until(lambda: "the worker tries again" in deployment.told(), why=deployment.told)
    with deployment.work() as work:
        job_id = work.enqueue(NoOperation())

    deployment.valkey.start()
    deployment.start("schedule", "jobs", "schedule")

    assert ended(deployment, job_id).state == JobState.DONE
    assert worker.is_alive()
    assert "Traceback" not in deployment.told()


@pytest.mark.deep
def test_two_schedulers_run_each_tick_once(build):
    deployment = build()
    began = datetime.now(UTC)

    schedules = [deployment.start("schedule", "jobs", "schedule", "--once") for _ in range(2)]

    assert [schedule.wait() for schedule in schedules] == [0, 0]
    dedupe_keys = [job.dedupe_key for job in deployment.jobs()]
    assert sorted(dedupe_keys) == sorted({tick.key(at, UTC) for tick in SCHEDULE for at in (began, datetime.now(UTC))})


@pytest.mark.deep
def test_every_log_line_is_json_from_start_to_stop(build):
    """Including workers that start before the queue."""
    deployment = build(log_level="INFO", release="1.2.3")
    deployment.settings["redis_url"] = deployment.valkey.url
    worker = deployment.start_worker(processes=2, schedule=True)
    until(lambda: "the worker tries again" in deployment.told(), why=deployment.told)
    deployment.valkey.start()
    web = deployment.start_web()
    enqueue_reset(deployment)
    until(lambda: deployment.jobs()[0].finished_at, why=deployment.told)
    for process in (worker, web):
        process.terminate()
        assert process.wait() == 0

    for process, name in ((worker, "workers have"), (web, "web has")):
        lines = [json.loads(line) for line in process.log.read_text().splitlines()]
        first, last = lines[0], lines[-1]
        assert (first["message"], first["release"]) == (f"the {name} started", "1.2.3")
        assert last["message"] == f"the {name} stopped"
