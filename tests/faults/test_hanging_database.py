"""A PostgreSQL server that hangs: requests that need it get 503 soon, everything else works."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import psutil
import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from app.core.extensions import db
from app.core.patience import OF_JOBS, be_patient, patience
from tests.faults.caller import Caller
from tests.support.browser import Browser
from tests.support.databases import migrated, own_postgres
from tests.support.deployment import until

pytestmark = pytest.mark.databases("postgresql")

ADA, PASSWORD = "ada@example.com", "a quieter harbour"


@pytest.mark.settings(database_patience_seconds=2)
def test_unavailable_lock_returns_503_and_does_not_block_later_requests(app, people, database_url):
    browser = Browser(app)
    browser.sign_in(people.add(ADA))
    assert browser.get("/account").status_code == 200
    with psycopg.connect(database_url) as lock:
        lock.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        refused = browser.get("/account")
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
        # Although this page needs no locked table.
        with psycopg.connect(database_url, autocommit=True) as looker:
            assert browser.get("/account").status_code == 503
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            assert looker.execute(waiting).fetchone()[0] == 0
        assert browser.get("/healthz").status_code == 200


@pytest.mark.own_app
@pytest.mark.settings(database_patience_seconds=2)
def test_refused_request_returns_its_connection(app, database_url, log):
    """Without a rollback that the server would have to answer."""
    with app.test_request_context("/"):
        connection = db.engine.raw_connection()
        connection.driver_connection.waits.refuse()
        connection.close()
        with pytest.raises(OperationalError, match="a moment ago"):
            db.session.execute(text("SELECT 1"))
    assert "Exception during reset" not in log.text


@pytest.mark.settings(database_patience_seconds=2)
def test_slow_statement_is_cancelled_by_the_server(app):
    with app.test_request_context("/"):
        with pytest.raises(OperationalError, match="statement timeout"):
            db.session.execute(text("SELECT pg_sleep(60)"))
        db.session.rollback()
        # The statement was at fault, so other requests are not refused.
        assert db.session.scalar(text("SELECT 1")) == 1


def test_jobs_and_commands_have_their_own_timeouts(app):
    limits = text("SELECT current_setting('lock_timeout') || ' ' || current_setting('statement_timeout')")
    with app.app_context():
        assert patience() is None
        assert db.session.scalar(limits) == "0 0"
    with app.app_context():
        be_patient(OF_JOBS)
        assert db.session.scalar(limits) == "30s 10min"
    with app.test_request_context("/"):
        assert db.session.scalar(limits) == "30s 59s"
    # The limits end with the transaction, because a pooler gives the connection to others.
    with app.app_context():
        assert db.session.scalar(limits) == "0 0"


@pytest.mark.slow
@pytest.mark.deep
def test_frozen_server_does_not_block_other_requests(build, tmp_path):
    server = own_postgres(tmp_path / "pg")
    try:
        _freeze(build(database_url=migrated(server.get_uri(), tmp_path), database_patience_seconds="3"), server)
    finally:
        server.cleanup()


def _freeze(deployment, server):
    deployment.add_user(ADA, password=PASSWORD)
    deployment.start_web()
    caller = Caller(deployment.url)
    assert caller.login(ADA, PASSWORD).status == 302
    postmaster = psutil.Process(server.get_pid())
    frozen = [postmaster, *postmaster.children(recursive=True)]
    for process in frozen:
        process.send_signal(signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(12) as visitors:
            answers = [visitors.submit(caller.get, "/account") for _ in range(12)]
            for _ in range(20):
                assert Caller(deployment.url).get("/healthz").status == 200
            assert {answer.result().status for answer in answers} == {503}
        assert Caller(deployment.url).get("/readyz").status == 503
    finally:
        for process in reversed(frozen):
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)
    until(lambda: caller.get("/account").status == 200)
