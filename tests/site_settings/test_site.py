"""Site settings that change at run time (registration, announcement, maintenance), and the cache in Valkey."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from io import BytesIO
from unittest.mock import Mock

import pytest
from flask import g
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from sqlalchemy import select

from app.audit.models import AuditDetail, AuditEvent
from app.core.cache import PREFIX, cache
from app.core.extensions import db
from app.core.redis_client import connect
from app.site.current import brand, change_site, site
from app.site.models import SiteSetting
from app.site.service import Site, SiteSettings
from app.unit_of_work import reading
from tests.support.browser import Browser
from tests.support.databases import SIGNING_KEY
from tests.support.pages import Page
from tests.support.statements import statements

SETTINGS = "/admin/settings"
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


def test_administrators_choose_who_can_sign_up(app, grace, client):
    assert "Sign up" in client.get("/auth/login").text
    save(grace, registration="closed")

    assert "Sign-up is closed" in client.get("/auth/register").text
    assert "Sign up" not in client.page("/auth/login").text("header")
    refused = client.send("POST", "/api/v1/auth/register", json={"email": "new@example.com", "password": "a" * 20})
    assert (refused.status_code, refused.json["errors"][0]["code"]) == (403, "registration_closed")
    save(grace, registration="invite")
    assert "Sign-up is by invitation" in client.get("/auth/register").text
    save(grace)
    assert client.register("new@example.com").status_code == 303


def test_announcement_is_shown_escaped_on_every_page(app, grace, client):
    save(grace, announcement="  Closed on   <b>Sunday</b> ")
    for path in ("/auth/login", "/auth/forgot-password"):
        assert client.page(path).text(".banner") == "Closed on <b>Sunday</b>"
    assert grace.page("/account").text(".banner") == "Closed on <b>Sunday</b>"
    assert grace.page(SETTINGS).find("#announcement").attrs["value"] == "Closed on <b>Sunday</b>"
    too_long = grace.post(SETTINGS, {"registration": "", "announcement": "x" * 301}, page=SETTINGS)
    assert too_long.status_code == 422
    assert "Use at most 300 characters" in too_long.text
    assert grace.post(SETTINGS, {"registration": "odd", "announcement": ""}, page=SETTINGS).status_code == 422


def test_settings_changes_are_audited_and_no_change_is_not(app, grace):
    save(grace, announcement="Soon")
    save(grace, announcement="Soon")
    with app.app_context():
        query = select(AuditDetail.values).join(AuditEvent).where(AuditEvent.kind == "site.changed")
        assert db.session.scalars(query).all() == [{"announcement": "Soon"}]
        assert db.session.scalar(select(SiteSetting.version)) == 1


def test_site_settings_require_their_permission(app, signed_in, client):
    assert signed_in.get(SETTINGS).status_code == 403
    assert Browser(app).get(SETTINGS).status_code == 302


def test_maintenance_closes_the_site_except_for_administrators(app, grace, ada):
    visitor = Browser(app)
    visitor.sign_in(ada)
    save(grace, maintenance="y", registration="closed")

    for path in ("/", "/account", "/auth/register", "/nowhere"):
        closed = visitor.get(path)
        assert (closed.status_code, closed.headers["Retry-After"]) == (503, "120")
        assert CLOSED in closed.text
        assert "Sign up" not in closed.text
    refused = visitor.get("/api/v1/auth/me")
    assert (refused.status_code, refused.json["errors"][0]["code"]) == (503, "maintenance")
    for path in ("/auth/login", "/healthz", "/readyz", "/static/gatehouse.css"):
        assert Browser(app).get(path).status_code == 200
    assert grace.get("/account").status_code == 200

    save(grace)
    assert visitor.get("/account").status_code == 200


def test_administrator_can_sign_in_during_maintenance_and_end_it(app, admin, flask):
    assert "Maintenance mode is on" in flask("maintenance", "on").output
    browser = Browser(app)
    assert browser.get("/").status_code == 503
    browser.sign_in(admin)
    assert browser.get("/account").status_code == 200
    assert "Maintenance mode is off" in flask("maintenance", "off").output
    assert Browser(app).get("/").location == "/auth/login"
    assert flask("maintenance", "perhaps").exit_code == 2


# ── name and look ──


def png(size=(300, 100), color=(200, 0, 0), **options):
    written = BytesIO()
    Image.new("RGB", size, color).save(written, "PNG", **options)
    return written.getvalue()


def upload(grace, content, name="logo.png"):
    return grace.post(
        SETTINGS, {"registration": "", "announcement": "", "logo": (BytesIO(content), name)}, page=SETTINGS
    )


def test_name_color_and_support_address_are_changed_while_the_site_runs(app, grace, client, mailbox, people):
    save(grace, name="  Acme   Ltd ", accent_color="#aa0011", support_email="Help@Example.com")
    page = client.page("/auth/login")
    assert page.text("title") == "Sign in · Acme Ltd"
    (theme,) = [node.attrs["href"] for node in page.find_all("link") if "theme.css" in node.attrs["href"]]
    assert theme == "/theme.css?v=aa0011"
    assert "#aa0011" in client.get(theme).text

    people.add("bob@example.com")
    client.forgot_password("bob@example.com")
    mail = mailbox.last_to("bob@example.com")
    assert (mail.subject, "help@example.com" in mail.text) == ("Reset your Acme Ltd password", True)
    assert mail.sender == "Acme Ltd <no-reply@gatehouse.test>"
    with app.app_context():
        query = select(AuditDetail.values).join(AuditEvent).where(AuditEvent.kind == "site.changed")
        assert db.session.scalars(query).one() == {
            "name": "Acme Ltd", "accent_color": "#aa0011", "support_email": "help@example.com",
        }  # fmt: skip

    save(grace, name="", accent_color="", support_email="")
    assert client.page("/auth/login").text("title") == "Sign in · Gatehouse"


@pytest.mark.databases("sqlite")
def test_wrong_name_color_or_address_is_refused_beside_its_field(grace):
    sent = {"registration": "", "announcement": "", "name": "x" * 61, "accent_color": "red", "support_email": "nobody"}
    answer = grace.post(SETTINGS, sent, page=SETTINGS)
    page = Page(answer.text)
    assert answer.status_code == 422
    assert "at most 60 characters" in page.text("#name-error")
    assert "Use a color like" in page.text("#accent_color-error")
    assert "Enter an email address" in page.text("#support_email-error")
    assert page.value("support_email") == "nobody"


@pytest.mark.databases("sqlite")
@pytest.mark.settings(site_name="From the environment")
def test_environment_wins_and_the_page_says_so(app, grace, client):
    assert "SITE_NAME" in grace.page(SETTINGS).text('[aria-labelledby="look"]')
    save(grace, name="Stored", accent_color="#aa0011")

    assert client.page("/auth/login").text("title") == "Sign in · From the environment"
    with app.app_context():
        assert reading()[SiteSettings].get_brand().name == ""


def test_uploaded_logo_is_reencoded_shown_and_removed(app, grace, client):
    noted = PngInfo()
    noted.add_text("Comment", "secret")
    assert upload(grace, png(pnginfo=noted)).status_code == 302
    (source,) = [node.attrs["src"] for node in client.page("/auth/login").find_all("header .logo")]
    shown = client.get(source)
    assert (shown.status_code, shown.mimetype) == (200, "image/png")
    assert "max-age=31536000" in shown.headers["Cache-Control"]
    assert b"secret" not in shown.data
    assert Image.open(BytesIO(shown.data)).size == (300, 100)
    with app.app_context():
        assert sha256(shown.data).hexdigest() == reading()[SiteSettings].get_brand().logo_digest

    save(grace, removes_logo="y")
    assert client.get("/logo.png").status_code == 404
    assert not client.page("/auth/login").has("header img.logo")


@pytest.mark.databases("sqlite")
def test_file_that_is_no_small_image_is_refused(app, grace, client, monkeypatch):
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    for content in (svg, b"", png()[:60], png((2001, 1)), b"GIF89a" + bytes(40)):
        refused = upload(grace, content)
        assert refused.status_code == 422
        assert "image" in Page(refused.text).text("#removes_logo-error")
    monkeypatch.setattr(app.view_functions["admin.site_settings"], "most_bytes", 1000)
    assert upload(grace, bytes(2000)).status_code == 413
    assert client.get("/logo.png").status_code == 404


@pytest.mark.databases("sqlite")
def test_error_page_without_a_database_keeps_the_name(app, grace, client, monkeypatch):
    save(grace, name="Acme")
    assert "Acme" in client.get("/auth/login").text
    monkeypatch.setattr(SiteSettings, "get_brand", Mock(side_effect=AssertionError))
    with app.test_request_context("/"):
        g.asks_nothing = True
        assert brand().name == "Acme"


# ── the cache ──


@pytest.fixture
def patient(make_app, monkeypatch):
    """Create an application that waits long for its cache, for loaded machines."""
    monkeypatch.setattr("app.core.cache.TIMEOUT_SECONDS", 60)
    monkeypatch.setattr("app.core.cache.WAIT_SECONDS", 60)
    return make_app


def shown(app):
    with app.app_context():
        return site()


def change(app, **values):
    with app.app_context():
        change_site(lambda work: work[SiteSettings].change(**values))


@pytest.mark.databases("sqlite")
def test_process_reads_site_settings_once_a_second(app, make_app, monkeypatch):
    other = make_app()
    passed = [100.0]
    monkeypatch.setattr("app.site.current.time.monotonic", lambda: passed[0])
    assert shown(app) == shown(other) == Site()
    change(app, announcement="Now")
    assert shown(app).announcement == "Now"
    with statements(all_of_them=True) as queries:
        assert shown(other) == Site()
    assert queries == []
    passed[0] += 1
    assert shown(other).announcement == "Now"


@pytest.mark.databases("sqlite")
def test_valkey_content_cannot_close_the_site_or_change_pages(app, connection, client):
    forged = {"version": 10**9, "maintenance": True, "announcement": "Call 555-0100", "registration": "closed"}
    connection.set(f"{PREFIX}site", json.dumps({"version": 10**9, "value": forged}))
    app.extensions.pop("site", None)
    answer = client.get("/auth/login")
    assert (answer.status_code, "555" in answer.text, "Sign up" in answer.text) == (200, False, True)


@pytest.mark.databases("sqlite")
def test_cached_value_with_a_wrong_signature_is_recomputed(app, connection):
    with app.app_context():
        assert cache.read_aside("report:one", lambda: 1, seconds=10) == 1
        ours = connection.get(f"{PREFIX}report:one").decode()
        for forged in ("{", '{"value": 9}', ours.replace("1}", "9}"), f"x{ours}"):
            connection.set(f"{PREFIX}report:one", forged)
            assert cache.read_aside("report:one", lambda: 2, seconds=10) == 2
        connection.set(f"{PREFIX}report:two", ours)
        assert cache.read_aside("report:two", lambda: 2, seconds=10) == 2


def test_cached_value_signed_with_the_previous_key_is_accepted(make_app, connection):
    before, after = (
        make_app(),
        make_app(secret_key="v8Qm-3kZr_7Lw2Xp9Tn5Yb1Hc6Jd4Gf0sA", secret_key_fallbacks=[SIGNING_KEY]),
    )
    with before.app_context():
        assert cache.read_aside("report:one", lambda: 1, seconds=10) == 1
    with after.app_context():
        assert cache.read_aside("report:one", lambda: 2, seconds=10) == 1


def wiped(connection):
    connection.flushall()


def full(connection):
    connection.flushall()
    connection.config_set("maxmemory", "1")


def slow(connection):
    connection.client_pause(1000)


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("trouble", [wiped, full, slow])
def test_failing_cache_still_gives_the_right_result(app, connection, trouble):
    trouble(connection)
    try:
        with app.app_context():
            assert cache.read_aside("report:one", lambda: 1, seconds=10) == 1
    finally:
        connection.client_unpause()
        connection.config_set("maxmemory", "0")


@pytest.mark.databases("sqlite")
def test_concurrent_cache_misses_compute_once(patient):
    app = patient()
    computed, barrier = [], threading.Barrier(8)

    def compute():
        computed.append(1)
        return "value"

    def ask(_):
        with app.app_context():
            barrier.wait()
            return cache.read_aside("slow:one", compute, seconds=10)

    with ThreadPoolExecutor(8) as visitors:
        assert set(visitors.map(ask, range(8))) == {"value"}
    assert len(computed) == 1


@pytest.mark.databases("sqlite")
def test_waiter_computes_after_a_timeout_and_a_failure_blocks_no_one(app, connection):
    connection.set(f"{PREFIX}slow:two:lock", "")
    with app.app_context():
        assert cache.read_aside("slow:two", lambda: 2, seconds=10) == 2
        with pytest.raises(ZeroDivisionError):
            cache.read_aside("slow:three", lambda: 1 / 0, seconds=10)
        assert not connection.exists(f"{PREFIX}slow:three:lock")
        assert cache.read_aside("slow:three", lambda: 3, seconds=10) == 3
        assert cache.read_aside("slow:three", lambda: 4, seconds=10) == 3


@pytest.mark.databases("sqlite")
def test_report_is_cached_briefly_and_unreadable_entries_are_recomputed(patient, admin, connection):
    grace = Browser(patient())
    grace.sign_in(admin)
    assert grace.get("/admin/reports").status_code == 200
    kept = f"{PREFIX}report:day"
    assert connection.get(kept).count(b"[") == 31
    assert 0 < connection.ttl(kept) <= 30
    with grace.app.app_context():
        connection.delete(kept)
        cache.read_aside("report:day", lambda: [["yesterday", 1]], seconds=30)
    assert grace.get("/admin/reports.csv").status_code == 200


@pytest.mark.databases("sqlite")
@pytest.mark.settings(redis_url="redis://127.0.0.1:1/0")
def test_without_a_cache_a_report_is_computed(app, grace):
    assert grace.get("/admin/reports").status_code == 200


@pytest.mark.databases("sqlite")
@pytest.mark.settings(redis_url="redis://127.0.0.1:1/0")
def test_unreachable_cache_is_not_retried_at_once(app, caplog):
    with app.app_context():
        assert [cache.read_aside("report:one", lambda: 1, seconds=10) for _ in range(3)] == [1, 1, 1]
    away = [record for record in caplog.records if record.message == "the cache is away; values are computed"]
    assert len(away) == 1
