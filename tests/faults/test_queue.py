"""Valkey killed, emptied or absent: no job is lost, and the pages go on."""

import pytest

from app.models import JobState
from app.tasks import NoOperation
from tests.e2e.house import until
from tests.faults.caller import Caller
from tests.support.browser import Browser

ADA = "ada@example.com"


def all_done(house):
    jobs = house.jobs()
    return jobs and all(job.state == JobState.DONE for job in jobs)


def test_a_valkey_killed_before_the_call_loses_nothing_and_the_same_workers_go_on(house, post_office):
    worker, schedule = house.start_worker(), house.start_schedule()
    with house.work() as work:
        work.enqueue(NoOperation())
    until(lambda: all_done(house))

    house.valkey.kill()
    assert Browser(house.app).register(ADA).status_code == 303
    assert house.jobs("answer_registration")[0].state == JobState.WAITING
    house.valkey.start()

    until(lambda: all_done(house))
    assert post_office.next_arrival().to == ADA
    assert worker.is_alive()
    assert schedule.is_alive()


def test_an_emptied_valkey_loses_nothing(house, post_office):
    Browser(house.app).register(ADA)
    house.app.extensions["queue"].flushall()

    house.start_worker()
    house.start_schedule()

    until(lambda: all_done(house))
    assert post_office.next_arrival().to == ADA


def test_a_valkey_emptied_under_running_workers_stops_none_of_them(house, post_office):
    worker = house.start_worker()
    house.start_schedule()
    with house.work() as work:
        work.enqueue(NoOperation())
    until(lambda: all_done(house))

    house.app.extensions["queue"].flushall()
    Browser(house.app).register(ADA)

    assert post_office.next_arrival().to == ADA
    until(lambda: all_done(house))
    assert worker.is_alive()


@pytest.mark.parametrize("queue", ["never there", "gone"])
def test_without_a_valkey_the_pages_work_limits_count_and_jobs_wait(build, post_office, queue):
    house = build(limit_scale="1", limit_login="4 per hour")
    if queue == "gone":
        house.valkey.start()
    house.start_web()
    house.valkey.kill()
    house.add_user(ADA, name="Ada Byron", password="a quieter harbour")
    visitor = Caller(house.url)

    assert visitor.register("grace@example.com").status == 303
    assert visitor.login(ADA).status == 302
    assert "Ada Byron" in visitor.get("/account").text
    assert '"degraded"' in visitor.get("/readyz").text
    answers = [Caller(house.url).login(ADA, "not her password") for _ in range(4)]
    assert [answer.status for answer in answers] == [422, 422, 422, 429]
    assert int(answers[-1].headers["Retry-After"]) > 0

    (waiting,) = house.jobs("answer_registration")
    assert (waiting.state, waiting.attempts) == (JobState.WAITING, 0)
    house.valkey.start()
    house.start_worker()
    house.start_schedule()
    assert post_office.next_arrival().to == "grace@example.com"
    until(lambda: all_done(house))
