"""Settings that change while the site runs: registration, the announcement, maintenance; and the cache they are read from."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import event, select

from app.cache import PREFIX, cache
from app.extensions import db
from app.models import AuditDetail, AuditEvent, SiteSetting
from app.queue import connect
from app.services.site import Site
from app.web.site import change_site, site
from tests.support.browser import Browser

SETTINGS = "/admin/settings"
KEY = f"{PREFIX}site"
CLOSED = "working on the site"


@pytest.fixture(autouse=True)
def _asks_again():
    cache.__init__()


@pytest.fixture
def grace(app, admin):
    browser = Browser(app)
    browser.sign_in(admin)
    browser.confirm(admin.password)
    return browser


@pytest.fixture
def connection(redis_url):
    connection = connect(redis_url)
    yield connection
    connection.close()


def save(grace, **fields):
    """Send the form; a checkbox that is not named is off."""
    answer = grace.post(SETTINGS, {"registration": "", "announcement": "", **fields}, page=SETTINGS)
    assert answer.status_code == 302, answer.text
    return answer


def test_administrators_choose_who_may_register(app, grace, client):
    assert "Register" in client.get("/").text
    save(grace, registration="closed")

    assert "Registration is closed" in client.get("/auth/register").text
    assert "Register" not in client.page("/").text("header")
    refused = client.send("POST", "/api/v1/auth/register", json={"email": "new@example.com", "password": "a" * 20})
    assert (refused.status_code, refused.json["errors"][0]["code"]) == (403, "registration_closed")
    save(grace, registration="invite")
    assert "By invitation only" in client.get("/auth/register").text
    save(grace)
    assert client.register("new@example.com").status_code == 303


def test_an_announcement_is_on_every_page_and_says_what_was_typed(app, grace, client):
    save(grace, announcement="  Closed on   <b>Sunday</b> ")
    for path in ("/", "/auth/login"):
        assert client.page(path).text(".banner") == "Closed on <b>Sunday</b>"
    assert grace.page("/account").text(".banner") == "Closed on <b>Sunday</b>"
    assert grace.page(SETTINGS).find("#announcement").attrs["value"] == "Closed on <b>Sunday</b>"
    too_long = grace.post(SETTINGS, {"registration": "", "announcement": "x" * 301}, page=SETTINGS)
    assert too_long.status_code == 422
    assert "At most 300 characters" in too_long.text
    assert grace.post(SETTINGS, {"registration": "odd", "announcement": ""}, page=SETTINGS).status_code == 422


def test_each_change_is_in_the_audit_log_and_no_change_is_not(app, grace):
    save(grace, announcement="Soon")
    save(grace, announcement="Soon")
    with app.app_context():
        found = select(AuditDetail.values).join(AuditEvent).where(AuditEvent.kind == "site.changed")
        assert db.session.scalars(found).all() == [{"announcement": "Soon"}]
        assert db.session.scalar(select(SiteSetting.version)) == 1


def test_only_who_may_edit_the_site_sees_the_settings(app, signed_in, client):
    assert signed_in.get(SETTINGS).status_code == 403
    assert Browser(app).get(SETTINGS).status_code == 302


def test_maintenance_closes_the_site_for_all_but_administrators(app, grace, ada):
    visitor = Browser(app)
    visitor.sign_in(ada)
    save(grace, maintenance="y", registration="closed")

    for path in ("/", "/account", "/auth/register", "/nowhere"):
        closed = visitor.get(path)
        assert (closed.status_code, closed.headers["Retry-After"]) == (503, "120")
        assert CLOSED in closed.text
        assert "Register" not in closed.text
    refused = visitor.get("/api/v1/auth/me")
    assert (refused.status_code, refused.json["errors"][0]["code"]) == (503, "maintenance")
    for path in ("/auth/login", "/healthz", "/readyz", "/static/gatehouse.css"):
        assert Browser(app).get(path).status_code == 200
    assert grace.get("/account").status_code == 200

    save(grace)
    assert visitor.get("/account").status_code == 200


def test_an_administrator_can_sign_in_during_maintenance_and_end_it(app, admin, flask):
    assert "only administrators" in flask("maintenance", "on").output
    browser = Browser(app)
    assert browser.get("/").status_code == 503
    browser.sign_in(admin)
    assert browser.get("/account").status_code == 200
    assert "is open" in flask("maintenance", "off").output
    assert Browser(app).get("/").status_code == 200
    assert flask("maintenance", "perhaps").exit_code == 2


# ── the cache ──


@pytest.fixture
def patient(make_app, monkeypatch):
    """Makes an application whose cache is waited for however loaded the machine is."""
    monkeypatch.setattr("app.cache.TIMEOUT_SECONDS", 60)
    monkeypatch.setattr("app.cache.WAIT_SECONDS", 60)
    return make_app


def shown(app):
    with app.app_context():
        return site()


def change(app, **values):
    with app.app_context():
        change_site(**values)


def test_it_is_read_from_the_cache_and_changed_for_every_server_at_once(patient, connection):
    app, other = patient(), patient()
    assert shown(app) == shown(other) == Site()
    asked = []
    with other.app_context():
        event.listen(db.engine, "before_cursor_execute", lambda *call: asked.append(call[2]))
    assert shown(other) == Site()
    assert asked == []

    change(app, announcement="Now")
    assert shown(other).announcement == "Now"
    assert not any("site_settings" in statement for statement in asked)
    assert 0 < connection.ttl(KEY) <= 10


def test_an_older_value_never_replaces_a_newer_one(patient, connection):
    app = patient()
    change(app, announcement="one")
    change(app, announcement="two")
    with app.app_context():
        cache.write("site", 1, {"version": 1, "announcement": "one"}, seconds=10)
    assert shown(app).announcement == "two"


def wiped(connection):
    connection.flushall()


def full(connection):
    connection.flushall()
    connection.config_set("maxmemory", "1")


def slow(connection):
    connection.client_pause(1000)


def garbled(connection):
    connection.set(KEY, "{")


def odd(connection):
    connection.set(KEY, json.dumps({"version": "x", "value": {"colour": "red"}}))


@pytest.mark.parametrize("trouble", [wiped, full, slow, garbled, odd])
def test_with_a_cache_in_trouble_the_answer_is_right(app, connection, trouble):
    change(app, announcement="one")
    trouble(connection)
    try:
        assert shown(app).announcement == "one"
        change(app, announcement="two")
        assert shown(app).announcement == "two"
    finally:
        connection.client_unpause()
        connection.config_set("maxmemory", "0")


@pytest.mark.databases("sqlite")
def test_of_many_who_miss_one_computes_and_the_others_wait_for_it(patient):
    app = patient()
    computed, begun = [], threading.Barrier(8)

    def compute():
        computed.append(1)
        return "value"

    def ask(_):
        with app.app_context():
            begun.wait()
            return cache.read_aside("slow:one", compute, seconds=10)

    with ThreadPoolExecutor(8) as visitors:
        assert set(visitors.map(ask, range(8))) == {"value"}
    assert len(computed) == 1


@pytest.mark.databases("sqlite")
def test_who_waits_in_vain_computes_and_a_failure_holds_nobody_up(app, connection):
    connection.set(f"{PREFIX}slow:two:lock", "")
    with app.app_context():
        assert cache.read_aside("slow:two", lambda: 2, seconds=10) == 2
        with pytest.raises(ZeroDivisionError):
            cache.read_aside("slow:three", lambda: 1 / 0, seconds=10)
        assert not connection.exists(f"{PREFIX}slow:three:lock")
        assert cache.read_aside("slow:three", lambda: 3, seconds=10) == 3
        assert cache.read_aside("slow:three", lambda: 4, seconds=10) == 3


@pytest.mark.databases("sqlite")
def test_a_report_is_kept_for_a_moment_and_what_cannot_be_read_is_computed(patient, admin, connection):
    grace = Browser(patient())
    grace.sign_in(admin)
    assert grace.get("/admin/reports").status_code == 200
    kept = f"{PREFIX}report:day"
    assert len(json.loads(connection.get(kept))["value"]) == 30
    assert 0 < connection.ttl(kept) <= 30
    connection.set(kept, json.dumps({"version": 0, "value": [["yesterday", 1]]}))
    assert grace.get("/admin/reports.csv").status_code == 200


@pytest.mark.databases("sqlite")
@pytest.mark.settings(redis_url="redis://127.0.0.1:1/0")
def test_without_a_cache_a_report_is_computed(app, grace):
    assert grace.get("/admin/reports").status_code == 200


@pytest.mark.databases("sqlite")
@pytest.mark.settings(redis_url="redis://127.0.0.1:1/0")
def test_without_a_cache_the_answer_is_right_and_it_is_not_asked_again_at_once(app, caplog):
    change(app, announcement="one")
    assert shown(app).announcement == "one"
    away = [record for record in caplog.records if record.message == "the cache is away; values are computed"]
    assert len(away) == 1
