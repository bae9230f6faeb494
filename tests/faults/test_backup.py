"""Backup during sign-ups and jobs, loss of everything, restore elsewhere."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from app.audit.models import AuditEvent
from app.users.models import User
from tests.faults.caller import Caller
from tests.support.databases import databases, emptied, fresh_database
from tests.support.deployment import until

pytestmark = [pytest.mark.slow, pytest.mark.deep]

ADA = "ada@example.com"


def told(deployment):
    with deployment.read() as work:
        users = set(work.session.scalars(select(User.id).where(User.email != ADA)))
        events = set(work.session.scalars(select(AuditEvent.subject_id).where(AuditEvent.kind == "user.registered")))
    return users, events, {job.arguments["user_id"] for job in deployment.jobs("answer_registration")}


def command(deployment, *arguments):
    """Run a `flask` command that succeeds."""
    run = deployment.start(arguments[0], *arguments)
    assert run.wait() == 0, run.log.read_text()


@pytest.mark.parametrize("database", databases())
def test_backup_taken_during_writes_restores_elsewhere_and_works(build, request, tmp_path, database, sqlite_template):
    server = request.getfixturevalue("postgres") if database == "postgresql" else "sqlite://"
    lived = {"database_url": emptied(server)} if database == "postgresql" else {}
    old = build(**lived, job_lease_seconds="3")
    old.valkey.start()
    old.add_user(ADA, password="a quieter harbour")
    old.start_web()
    old.start_worker()
    over, file = threading.Event(), tmp_path / "backup.zip"

    def register(which):
        number = 0
        while not over.wait(0.1):
            number += 1
            assert Caller(old.url).register(f"person{which}-{number}@example.com").status == 303

    with ThreadPoolExecutor(3) as people:
        visitors = [people.submit(register, which) for which in range(3)]
        until(lambda: len(told(old)[0]) >= 5)
        command(old, "backup", str(file))
        at_least = len(told(old)[0])
        over.set()
        for visitor in visitors:
            visitor.result()
    before = told(old)
    old.close()

    new = build(database_url=fresh_database(server, tmp_path), job_lease_seconds="3")
    new.valkey.start()
    command(new, "restore", str(file))
    users, events, jobs = told(new)
    # The backup is a moment in between: each sign-up is complete or absent.
    assert users == events == jobs
    assert 5 <= len(users) <= at_least
    assert users <= before[0]

    new.start_web()
    new.start_worker(schedule=True)
    assert Caller(new.url).login(ADA).status == 302
    assert Caller(new.url).register("next@example.com").status == 303
    until(lambda: all(job.finished_at for job in new.jobs("answer_registration")))
    assert "next@example.com" in {mail.recipient for mail in new.mails() if mail.status == "sent"}
