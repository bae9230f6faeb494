"""Last-seen times of sessions, users and API keys: buffered in Valkey and written by a job."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import select

from app.api_keys.models import ApiKey
from app.auth.models import Session
from app.auth.services.last_seen import Use
from app.auth.tasks import SaveLastSeen
from app.core.cache import PREFIX, cache
from app.core.extensions import db
from app.core.redis_client import connect
from app.unit_of_work import unit_of_work
from app.users.models import User
from tests.support.browser import Browser
from tests.support.mailbox import work_off
from tests.support.program import Program
from tests.support.statements import statements

pytestmark = pytest.mark.databases("sqlite", "postgresql")

USES = f"{PREFIX}uses"


@pytest.fixture
def patient(make_app, monkeypatch):
    """An application that waits long for its cache, for loaded machines."""
    monkeypatch.setattr("app.core.cache.TIMEOUT_SECONDS", 60)
    cache.__init__()
    return make_app()


@pytest.fixture
def connection(redis_url):
    connection = connect(redis_url)
    yield connection
    connection.close()


def seen(app):
    """Return the stored last-seen times of the session, its user and the key."""
    with app.app_context():
        columns = (Session.last_seen_at, User.last_seen_at, ApiKey.last_used_at)
        return [db.session.scalar(select(column).order_by(column.desc())) for column in columns]


def write_behind(app):
    with app.app_context(), unit_of_work() as work:
        work.enqueue(SaveLastSeen())
    assert work_off(app)


def browser_and_program(app, admin):
    """A browser and a program that have just used the application."""
    browser, program = Browser(app), Program(app)
    browser.sign_in(admin)
    key = program.login(admin).post("/api-keys", {"name": "Reporter", "scopes": ["users:read"]}).json["data"]["key"]
    program = Program(app, token=key)
    assert (browser.get("/account").status_code, program.get("/users").status_code) == (200, 200)
    return browser, program


def use(browser, program):
    assert (browser.get("/account").status_code, program.get("/users").status_code) == (200, 200)


def test_last_seen_times_are_buffered_and_written_by_a_job(patient, admin, clock, connection):
    browser, program = browser_and_program(patient, admin)
    began = clock.now
    clock.advance(minutes=4)
    use(browser, program)
    assert not connection.exists(USES)

    clock.advance(minutes=2)
    for _ in range(2):
        with statements() as queries:
            use(browser, program)
        assert not [statement for statement, _ in queries if statement.startswith("UPDATE")]
        clock.advance(minutes=1)
    assert connection.hlen(USES) == 2
    assert 0 < connection.ttl(USES) <= 3600
    assert seen(patient) == [began] * 3

    write_behind(patient)
    assert seen(patient) == [began + timedelta(minutes=7)] * 3
    assert not connection.exists(USES)


def test_overdue_last_seen_time_is_written_at_once(patient, admin, clock, connection):
    browser, program = browser_and_program(patient, admin)
    clock.advance(minutes=6)
    use(browser, program)
    connection.flushall()
    write_behind(patient)
    clock.advance(minutes=10)
    use(browser, program)
    assert seen(patient) == [clock.now] * 3


@pytest.mark.settings(session_idle_minutes=20)
def test_session_close_to_its_idle_limit_is_written_at_once(patient, admin, clock, connection):
    browser, _ = browser_and_program(patient, admin)
    clock.advance(minutes=5, seconds=1)
    assert browser.get("/account").status_code == 200
    assert seen(patient)[0] == clock.now
    assert not connection.exists(USES)


@pytest.mark.settings(redis_url="")
def test_without_a_cache_each_use_is_written(app, admin, clock):
    browser, program = browser_and_program(app, admin)
    clock.advance(minutes=6)
    use(browser, program)
    assert seen(app) == [clock.now] * 3


def test_with_a_full_cache_each_use_is_written(patient, admin, clock, connection):
    browser, program = browser_and_program(patient, admin)
    clock.advance(minutes=6)
    connection.config_set("maxmemory", "1")
    try:
        use(browser, program)
    finally:
        connection.config_set("maxmemory", "0")
    assert seen(patient) == [clock.now] * 3


def test_garbled_entries_are_skipped_and_older_times_do_not_replace_newer(patient, admin, clock, connection):
    browser_and_program(patient, admin)
    began = clock.now
    with patient.app_context():
        (session_id,) = db.session.scalars(select(Session.id).where(Session.token_hash.is_not(None)).limit(1)).all()
        old = Use(at=began - timedelta(minutes=1), session_id=session_id, user_id=admin.id)
    pairs = {old.key(): old.at.isoformat(), "1": "x", "1:2:x": began.isoformat(), "1:1:0": "2026-01-01T00:00:00"}
    with patient.app_context():
        for key, at in (pairs | {"999999:999999:999999": began.isoformat()}).items():
            assert cache.collect("uses", key, at)
    write_behind(patient)
    assert seen(patient) == [began] * 3
    assert not connection.exists(USES)


def test_forged_time_is_not_written(patient, admin, clock, connection):
    browser, program = browser_and_program(patient, admin)
    began = clock.now
    clock.advance(minutes=6)
    use(browser, program)
    noted = connection.hgetall(USES)
    for key, ours in noted.items():
        connection.hset(USES, key, "2099-01-01T00:00:00+00:00")
        connection.hset(USES, key + b"0", ours)
    write_behind(patient)
    assert len(noted) == 2
    assert seen(patient) == [began] * 3


def test_many_times_are_written_in_one_statement(patient, admin, connection):
    at = datetime.fromisoformat("2020-01-01T00:00:00+00:00")
    with patient.app_context():
        for number in range(2500):
            use = Use(at=at, session_id=10**6 + number, user_id=10**6 + number)
            assert cache.collect("uses", use.key(), at.isoformat())
    with statements() as queries:
        write_behind(patient)
    assert len([1 for statement, _ in queries if statement.startswith("UPDATE sessions")]) == 3
    assert not connection.exists(USES)
