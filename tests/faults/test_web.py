"""Web workers killed in the middle of a registration: it has happened as a whole, or not at all."""

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
from sqlalchemy import select

from app.models import AuditEvent, User
from tests.e2e.house import until
from tests.faults.caller import Caller
from tests.support.databases import emptied

ADA = "ada@example.com"


def told(house):
    """What the database holds of each registration: the user, the event and the job."""
    with house.look() as look:
        users = set(look.session.scalars(select(User.id)))
        events = set(look.session.scalars(select(AuditEvent.subject_id).where(AuditEvent.kind == "user.registered")))
    return users, events, {job.arguments["user_id"] for job in house.jobs("answer_registration")}


def register(house, email):
    """Whether the answer said that all went well; the worker may die over it."""
    try:
        return Caller(house.url).register(email).status == 303
    except OSError:
        return False


def test_killed_between_its_statements_a_registration_leaves_nothing_and_can_be_made_again(build, postgres):
    house = build(database_url=emptied(postgres))
    web = house.start_web()
    with ThreadPoolExecutor(1) as visitor, psycopg.connect(postgres) as lock:
        # The user and the event are written by now; the job has to wait.
        lock.execute("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
        answer = visitor.submit(register, house, ADA)
        with psycopg.connect(postgres, autocommit=True) as looker:
            until(lambda: waits_for_jobs(looker))
            for child in web.children():
                os.kill(child, signal.SIGKILL)
            assert answer.result() is False
            lock.rollback()
            until(lambda: not is_being_written(looker))

    assert told(house) == (set(), set(), set())
    assert register(house, ADA)
    users, events, jobs = told(house)
    assert len(users) == 1
    assert users == events == jobs
    assert len(house.jobs()) == 1


def waits_for_jobs(connection):
    return connection.execute(
        "SELECT count(*) FROM pg_locks WHERE relation = 'jobs'::regclass AND NOT granted"
    ).fetchone()[0]


def is_being_written(connection):
    """Whether the server still works for somebody else, such as a client that is gone."""
    return connection.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid != pg_backend_pid()"
        " AND state LIKE ANY (ARRAY['active', 'idle in transaction%'])"
    ).fetchone()[0]


def test_under_a_barrage_of_kills_every_registration_is_whole(build):
    house = build()
    web = house.start_web()
    over = threading.Event()
    addresses = [f"person{number}@example.com" for number in range(12)]

    def kill_again_and_again():
        while not over.wait(0.2):
            for child in web.children():
                os.kill(child, signal.SIGKILL)
            until(lambda: web.children() or over.is_set())

    with ThreadPoolExecutor(4) as visitors:
        killer = threading.Thread(target=kill_again_and_again)
        killer.start()
        answers = dict(zip(addresses, visitors.map(lambda email: register(house, email), addresses), strict=True))
        over.set()
        killer.join()

    users, events, jobs = told(house)
    assert users == events == jobs
    with house.look() as look:
        there = set(look.session.scalars(select(User.email)))
    assert {email for email, went_well in answers.items() if went_well} <= there
    assert register(house, ADA)
