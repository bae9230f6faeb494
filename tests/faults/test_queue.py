"""Valkey killed, flushed or absent: no job is lost, and pages work."""

import pytest

from app.jobs.models import JobState
from app.jobs.tasks import NoOperation
from tests.faults.caller import Caller
from tests.support.browser import Browser
from tests.support.deployment import until

pytestmark = pytest.mark.slow

ADA = "ada@example.com"


def all_done(deployment):
    jobs = deployment.jobs()
    return jobs and all(job.state == JobState.DONE for job in jobs)


@pytest.mark.deep
def test_valkey_killed_before_a_call_loses_nothing_and_workers_continue(deployment, smtp_server):
    worker = deployment.start_worker(schedule=True)
    with deployment.work() as work:
        work.enqueue(NoOperation())
    # The schedule runs too; one that starts without Valkey does nothing.
    until(lambda: deployment.jobs("purge_unconfirmed") and all_done(deployment), why=deployment.told)

    deployment.valkey.kill()
    assert Browser(deployment.app).register(ADA).status_code == 303
    assert deployment.jobs("answer_registration")[0].state == JobState.WAITING
    deployment.valkey.start()

    until(lambda: all_done(deployment), why=deployment.told)
    assert smtp_server.next_arrival().to == ADA
    assert worker.is_alive()


@pytest.mark.deep
def test_flushed_valkey_loses_no_job(deployment, smtp_server):
    Browser(deployment.app).register(ADA)
    deployment.app.extensions["queue"].flushall()

    deployment.start_worker(schedule=True)

    until(lambda: all_done(deployment), why=deployment.told)
    assert smtp_server.next_arrival().to == ADA


@pytest.mark.deep
def test_valkey_flushed_while_workers_run_stops_none(deployment, smtp_server):
    worker = deployment.start_worker(schedule=True)
    with deployment.work() as work:
        work.enqueue(NoOperation())
    until(lambda: all_done(deployment), why=deployment.told)

    deployment.app.extensions["queue"].flushall()
    Browser(deployment.app).register(ADA)

    assert smtp_server.next_arrival().to == ADA
    until(lambda: all_done(deployment), why=deployment.told)
    assert worker.is_alive()


@pytest.mark.parametrize("queue", ["never there", "gone"])
def test_without_valkey_pages_work_limits_count_and_jobs_wait(build, smtp_server, queue):
    deployment = build(limit_scale="1", limit_login="4 per hour")
    if queue == "gone":
        deployment.valkey.start()
    deployment.start_web()
    deployment.valkey.kill()
    deployment.add_user(ADA, name="Ada Byron", password="a quieter harbour")
    visitor = Caller(deployment.url)

    assert visitor.register("grace@example.com").status == 303
    assert visitor.login(ADA).status == 302
    assert "Ada Byron" in visitor.get("/account").text
    assert '"degraded"' in visitor.get("/readyz").text
    answers = [Caller(deployment.url).login(ADA, "not her password") for _ in range(4)]
    assert [answer.status for answer in answers] == [422, 422, 422, 429]
    assert int(answers[-1].headers["Retry-After"]) > 0

    (waiting,) = deployment.jobs("answer_registration")
    assert (waiting.state, waiting.attempts) == (JobState.WAITING, 0)
    deployment.valkey.start()
    deployment.start_worker(schedule=True)
    assert smtp_server.next_arrival().to == "grace@example.com"
    until(lambda: all_done(deployment), why=deployment.told)
