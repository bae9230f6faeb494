"""An import whose worker is killed repeatedly applies every row once, and its report adds up."""

import io
import os
import random
import signal
from contextlib import suppress

import pytest
from sqlalchemy import func, select

from app.audit.models import AuditEvent
from app.core.principal import OPERATOR
from app.imports.models import Phase, UserImportRow
from app.imports.services.user_imports import UserImports
from app.imports.uploads import store
from app.jobs.models import JobState
from app.users.models import User, UserWord, user_roles
from tests.support.databases import databases, emptied
from tests.support.deployment import until

pytestmark = [pytest.mark.slow, pytest.mark.deep]

ROWS = 6_000
KILLS = 10


@pytest.fixture(params=databases())
def deployment(build, request):
    elsewhere = {"database_url": emptied(request.getfixturevalue("postgres"))} if request.param == "postgresql" else {}
    deployment = build(job_lease_seconds="1", **elsewhere)
    deployment.valkey.start()
    return deployment


def content():
    """Every tenth row repeats the one before and is refused."""
    yield "email,name,roles\n"
    for number in range(ROWS):
        yield f"user{number - (number % 10 == 9)}@example.com,Person Number{number},member\n"


def test_import_killed_ten_times_applies_each_row_once(deployment):
    chance = random.Random(15)  # noqa: S311 - it decides nothing but when to kill.
    worker = deployment.start_worker(schedule=True)
    with deployment.app.app_context():
        file_id, lines = store(io.BytesIO("".join(content()).encode()), name="people.csv", owner_id=None)
    with deployment.work() as work:
        checking = work[UserImports].create_import(file_id, lines=lines, by=OPERATOR)
    tries = kill_while(deployment, worker, checking.job_id, chance, times=KILLS // 2)
    with deployment.work() as work:
        applying = work[UserImports].start_import(checking.id, invites=False, by=OPERATOR)
    tries += kill_while(deployment, worker, applying.job_id, chance, times=KILLS // 2)
    # 12 attempts: on a loaded machine a job can end before its killer looks.
    assert tries > KILLS // 2

    with deployment.read() as work:
        answer = work[UserImports].get(checking.id, by=OPERATOR)
        assert (answer.phase, answer.rows) == (Phase.DONE, ROWS)
        assert answer.checked == {"new": ROWS * 9 // 10, "refused": ROWS // 10}
        assert answer.applied == {"added": ROWS * 9 // 10, "refused": ROWS // 10}
        outcomes = select(UserImportRow.outcome, func.count()).group_by(UserImportRow.outcome)
        assert dict(work.session.execute(outcomes).all()) == answer.applied
        for model in (User, user_roles, select(UserWord).where(UserWord.word == "person").subquery()):
            assert work.session.scalar(select(func.count()).select_from(model)) == ROWS * 9 // 10
        imported = select(func.count()).where(AuditEvent.kind == "user.imported")
        assert work.session.scalar(imported) == ROWS * 9 // 10


def kill_while(deployment, worker, job_id, chance, *, times):
    """Kill the workers when the job reaches these random rows; return its attempts once it is done."""
    tries = 0
    for row in sorted(chance.sample(range(1, ROWS * 3 // 4), times)):
        until(lambda row=row: deployment.job(job_id).progress_done >= row)
        # Wait for the next attempt first: a kill without an attempt would not count.
        until(lambda tries=tries: (job := deployment.job(job_id)).attempts > tries or job.finished_at)
        tries = deployment.job(job_id).attempts
        for child in worker.children():
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
    done = until(lambda: job if (job := deployment.job(job_id)).finished_at else None)
    assert done.state == JobState.DONE, done.outcome
    return done.attempts
