"""Properties of every response: headers, cookies, request IDs, error pages, health, logs."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import brotli
import psycopg
import pytest
from flask_compress.compat import compression
from sqlalchemy import text

from app.core.extensions import db
from tests.support.browser import Browser
from tests.support.mailbox import work_off

pytestmark = pytest.mark.databases("sqlite")

DECODE = {"zstd": compression.zstd.decompress, "br": brotli.decompress, "gzip": gzip.decompress, None: bytes}
LIVE = {"environment": "production", "base_url": "https://accounts.example.com"}
OWASP = {"argon2_memory_kib": 19456, "argon2_time_cost": 2}
SAFE = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}


@pytest.mark.parametrize("path", ["/", "/auth/login", "/account", "/nowhere", "/static/gatehouse.css", "/healthz"])
def test_every_response_has_security_headers(client, path):
    answer = client.get(path)

    for name, value in SAFE.items():
        assert answer.headers.get_all(name) == [value]
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "Strict-Transport-Security" not in answer.headers
    assert len(answer.headers["X-Request-ID"]) == 32


@pytest.mark.settings(**LIVE, **OWASP)
def test_production_requires_https(client, ada):
    answer = client.login(ada)

    assert answer.status_code == 302
    assert "max-age=63072000; includeSubDomains" in answer.headers["Strict-Transport-Security"]
    cookies = answer.headers.get_all("Set-Cookie")
    assert len(cookies) == 2
    for cookie in cookies:
        assert cookie.startswith("__Host-")
        assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= {part.strip() for part in cookie.split(";")}
        assert "Domain" not in cookie
    assert client.get("/dev/mailbox").status_code == 404


def test_stylesheets_comply_with_the_content_security_policy(app):
    sheets = list(Path(app.static_folder).rglob("*.css"))

    assert sheets
    assert [sheet.name for sheet in sheets if re.search(r"url\(|@import", sheet.read_text())] == []


@pytest.mark.databases("sqlite")
def test_custom_static_file_replaces_ours(settings, make_app):
    own = settings.instance_path / "static"
    own.mkdir(parents=True)
    before = Browser(make_app()).get("/auth/login").text
    for name in ("logo.svg", "favicon.ico", "favicon.svg", "apple-touch-icon.png"):
        (own / name).write_text(f"our {name}")
    (own / "brand").mkdir()
    (own / "brand" / "own.css").write_text("main { color: red }")
    (own / ".." / "secret.txt").write_text("nobody reads this")

    browser = Browser(make_app())
    page = browser.page("/auth/login")
    for name in ("logo.svg", "favicon.ico", "favicon.svg", "apple-touch-icon.png"):
        (address,) = re.findall(rf'"(/static/{name}\?v=\w+)"', browser.get("/auth/login").text)
        assert address not in before
        answer = browser.get(address)
        assert answer.text == f"our {name}"
        assert "immutable" in answer.headers["Cache-Control"]
    assert page.has('img.logo[alt=""]')
    assert browser.get("/favicon.ico").text == "our favicon.ico"
    assert browser.get("/static/brand/own.css").text == "main { color: red }"
    assert browser.get("/static/brand").status_code == 404
    assert browser.get("/static/../secret.txt").status_code == 404
    assert browser.get("/static/%2e%2e/secret.txt").status_code == 404
    assert browser.get("/static/gatehouse.js").status_code == 200


def test_fingerprinted_static_files_are_cached_permanently(client):
    assert "immutable" in client.get("/static/gatehouse.css?v=1").headers["Cache-Control"]
    assert client.get("/static/gatehouse.css").headers["Cache-Control"] == "public, max-age=3600"
    assert client.get("/static/../settings.py").status_code == 404
    assert client.get("/static/").status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        *("/static/gatehouse.css?v=1", "/static/gatehouse.css", "/favicon.ico", "/theme.css", "/robots.txt"),
        *("/.well-known/security.txt", "/.well-known/jwks.json", "/api/v1/openapi.json"),
    ],
)
@pytest.mark.parametrize("accepted", ["", "gzip"])
def test_shared_content_is_cached_publicly_and_revalidated(signed_in, path, accepted):
    first = signed_in.get(path, headers={"Accept-Encoding": accepted})
    assert first.headers["Cache-Control"].startswith("public, max-age=")
    again = signed_in.get(path, headers={"Accept-Encoding": accepted, "If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", first.headers["ETag"])
    assert again.headers["Cache-Control"] == first.headers["Cache-Control"]
    for answer in (first, again):
        assert "Set-Cookie" not in answer.headers
        assert "Cookie" not in answer.headers.get("Vary", "")


def test_personal_content_is_never_cached(signed_in):
    """Every page except those above; API objects are cached privately and revalidated."""
    for path in ("/", "/account", "/account/sessions", "/auth/login", "/api/docs", "/healthz", "/nowhere"):
        assert signed_in.get(path).headers["Cache-Control"] == "no-store"
    me = signed_in.get("/api/v1/users/me")
    assert me.headers["Cache-Control"] == "no-store"
    assert "Cookie" in me.headers["Vary"]
    assert signed_in.get("/api/v1/users/me", headers={"If-None-Match": me.headers["ETag"]}).status_code == 304


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip, br", "br"),
        ("gzip", "gzip"),
        ("br;q=0.1, gzip;q=0.5", "gzip"),
        ("gzip;q=0", None),
        ("gzip;q=0, *", None),
        ("identity", None),
        ("", None),
    ],
)
def test_stylesheet_is_compressed_as_accepted(app, client, accepted, encoding):
    plain = Path(app.static_folder, "gatehouse.css").read_bytes()
    answer = client.get("/static/gatehouse.css", headers={"Accept-Encoding": accepted})

    assert answer.headers.get("Content-Encoding") == encoding
    assert "Accept-Encoding" in answer.headers["Vary"]
    assert DECODE[encoding](answer.data) == plain
    assert len(answer.data) <= len(plain) / (3 if encoding else 1)
    again = {"Accept-Encoding": accepted, "If-None-Match": answer.headers["ETag"]}
    assert client.get("/static/gatehouse.css", headers=again).status_code == 304


def test_ranges_and_images_are_not_compressed(client):
    part = client.get("/static/gatehouse.css", headers={"Accept-Encoding": "gzip", "Range": "bytes=0-1999"})
    picture = client.get("/static/apple-touch-icon.png", headers={"Accept-Encoding": "gzip"})

    assert (part.status_code, len(part.data), picture.status_code) == (206, 2000, 200)
    assert not {"Content-Encoding"} & {*part.headers.keys(), *picture.headers.keys()}


@pytest.mark.parametrize(
    "path",
    [
        "/nowhere",
        "/users/99",
        f"/users/{2**80}",
        "/.git/HEAD",
        "/.env",
        "/console",
        "/static/",
        "/instance/",
        "/instance/gatehouse.db",
    ],
)
def test_unknown_page_returns_404_with_a_link(client, admin, path):
    client.sign_in(admin)
    answer = client.get(path)

    assert answer.status_code == 404
    assert answer.headers["X-Request-ID"] in answer.text


def test_wrong_method_names_the_allowed_ones(client):
    for method in ("PUT", "DELETE", "PATCH", "TRACE", "FOO"):
        answer = client.send(method, "/auth/login")
        assert answer.status_code in {400, 405}
    assert "POST" in client.send("PUT", "/auth/login").headers["Allow"]


def test_api_errors_are_json(client):
    answer = client.get("/api/v1/nowhere")

    assert answer.status_code == 404
    assert answer.mimetype == "application/json"
    assert answer.json["success"] is False
    assert answer.json["errors"][0]["code"] == "not_found"


def test_unknown_host_gets_a_page_without_links(client):
    answer = client.send("GET", "/auth/login", base_url="http://evil.test")

    assert answer.status_code == 400
    assert "evil.test" not in answer.text
    assert "href" not in answer.text


def test_email_links_use_base_url_whatever_the_host_header(client, mailbox):
    client.register("ada@example.com")

    assert mailbox.last().link.startswith("http://gatehouse.test/")


def test_missing_csrf_token_keeps_the_input(client):
    typed = {"email": "ada@example.com", "name": "Ada", "password": "secret one"}
    assert "allow cookies for this site" in client.send("POST", "/auth/register", data=typed).text
    answer = client.send("POST", "/auth/register", data=typed)

    assert answer.status_code == 400
    assert 'value="ada@example.com"' in answer.text
    assert "open for too long" in answer.text
    assert "secret one" not in answer.text
    assert 'name="csrf_token"' in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.test"},
        {"Origin": "null"},
    ],
)
def test_cross_site_post_is_refused_even_with_the_token(client, headers, mailbox):
    data = {"csrf_token": client.token(), "email": "ada@example.com", "password": "a quieter harbour"}

    assert client.send("POST", "/auth/register", data=data, headers=headers).status_code == 400
    assert mailbox.all() == []


def test_csrf_token_of_another_browser_is_refused(client, new_browser):
    typed = {"csrf_token": new_browser().token(), "email": "a@example.com"}

    assert client.send("POST", "/auth/forgot-password", data=typed).status_code == 400


def test_redirect_after_a_post_without_a_page_leads_back(client, ada):
    client.sign_in(ada)

    assert client.send("POST", "/auth/logout").status_code == 400
    assert client.is_signed_in()


def test_request_id_is_accepted_only_from_a_trusted_proxy(client, make_app):
    headers = {"X-Request-ID": "chosen-by-me-1"}
    assert client.get("/healthz", headers=headers).headers["X-Request-ID"] != "chosen-by-me-1"
    behind = Browser(make_app(trusted_proxies=1))
    assert behind.get("/healthz", headers=headers).headers["X-Request-ID"] == "chosen-by-me-1"


def test_health_endpoints_report_their_checks(client, make_app):
    assert client.get("/healthz").json == {"status": "ok"}
    assert client.get("/readyz").json == {"status": "ok", "database": "ok", "migrations": "ok", "queue": "ok"}
    without_queue = Browser(make_app(redis_url="redis://127.0.0.1:1/0")).get("/readyz")
    assert (without_queue.status_code, without_queue.json["status"]) == (200, "degraded")


def test_unmigrated_database_is_not_ready(make_app, tmp_path):
    answer = Browser(make_app(database_url=f"sqlite:///{tmp_path / 'empty.db'}")).get("/readyz")

    assert answer.status_code == 503
    assert answer.json["migrations"] == "pending"


@pytest.mark.databases("postgresql")
def test_read_only_database_returns_503_for_forms_and_serves_pages(client, ada, make_app, database_url, clock):
    """Like a standby after a failover."""
    client.sign_in(ada)
    standby = Browser(make_app(database_url=f"{database_url}&options=-cdefault_transaction_read_only%3Don"))
    standby.http._cookies.update(client.http._cookies)
    clock.advance(minutes=10)  # So that last use of the session would be written.

    assert standby.get("/account").status_code == 200
    refused = Browser(standby.app).register("new@example.com")
    assert refused.status_code == 503
    assert refused.headers["Retry-After"] == "5"


@pytest.mark.databases("postgresql")
@pytest.mark.databases("postgresql")
def test_database_failure_after_rendering_keeps_the_page(make_app, database_url):
    """The transaction cannot be rolled back then, and there is nothing to roll back."""
    app = make_app()
    closed = []

    @app.after_request
    def stop(response):
        with psycopg.connect(database_url, autocommit=True) as other:
            pid = db.session.execute(text("SELECT pg_backend_pid()")).scalar()
            closed.append(other.execute("SELECT pg_terminate_backend(%s)", (pid,)).fetchone())
        return response

    browser = Browser(app)
    assert browser.get("/auth/register").status_code == 200
    assert closed == [(True,)]
    assert browser.get("/auth/register").status_code == 200


def test_before_migrations_static_pages_and_metrics_are_served(make_app, database_url):
    """New code runs on the previous release's schema for a moment."""
    early = Browser(make_app(database_url=f"{database_url}&options=-csearch_path%3Dnowhere"), address="127.0.0.1")

    assert early.get("/auth/forgot-password").status_code == 200
    assert early.get("/readyz").json["migrations"] == "pending"
    assert 'gatehouse_up{part="database"} 0.0' in early.get("/metrics").text


def test_unreachable_database_returns_503_without_a_traceback(make_app):
    away = Browser(make_app(database_url="postgresql://nobody@127.0.0.1:1/none"))
    ready, page = away.get("/readyz"), away.get("/auth/verify-email/" + "x" * 43)

    assert ready.status_code == page.status_code == 503
    assert ready.json["database"] == "unreachable"
    assert page.headers["Retry-After"]
    assert "psycopg" not in page.text


@pytest.mark.own_app
def test_unexpected_error_shows_a_reference_and_no_details(app, client):
    app.config["PROPAGATE_EXCEPTIONS"] = False
    app.view_functions["home.index"] = broken = lambda: 1 / 0
    broken.is_public = True

    answer = client.get("/")

    assert answer.status_code == 500
    assert answer.headers["X-Request-ID"] in answer.text
    assert "ZeroDivision" not in answer.text


def test_well_known_files_are_served(client):
    assert client.get("/.well-known/change-password").location == "/account/password"
    assert "Contact: mailto:" in client.get("/.well-known/security.txt").text
    assert "Disallow: /account" in client.get("/robots.txt").text
    assert client.get("/theme.css").mimetype == "text/css"
    assert client.get("/favicon.ico").status_code == 200


def test_request_log_is_one_json_object_without_secrets(client, ada, mailbox, log):
    client.login(ada, "canary-wrong-password")
    client.sign_in(ada)
    link = mailbox.link_from(client.forgot_password(ada.email))
    client.reset_password(link, "canary new password")

    assert {"request_id", "route", "status", "duration_ms", "user_id"} <= set(log.requests()[0])
    assert {"/auth/login", "/auth/reset-password/<token>"} <= {line["route"] for line in log.requests()}
    for secret in ("canary", ada.password, link.rsplit("/", 1)[1], client.cookie("device").value):
        assert secret not in log.text


@pytest.mark.own_app
def test_custom_page_replaces_ours(client, settings):
    folder = settings.instance_path / "templates"
    folder.mkdir(parents=True)
    blocks = "{% block title %}Hi{% endblock %}{% block content %}<h1>Our own</h1>{% endblock %}"
    (folder / "home.html").write_text('{% extends "base.html" %}' + blocks)

    assert "Our own" in client.get("/").text


@pytest.mark.settings(trusted_proxies=1)
def test_client_address_follows_the_number_of_trusted_proxies(client, ada):
    client.sign_in(ada)
    client.http.delete_cookie("session", domain="gatehouse.test")
    client.send("GET", "/", headers={"X-Forwarded-For": "1.1.1.1, 198.51.100.77"})
    token = client.token()
    client.send("POST", "/auth/login", data={"email": ada.email, "password": ada.password, "csrf_token": token},
                headers={"X-Forwarded-For": "1.1.1.1, 198.51.100.77"})  # fmt: skip

    shown = client.get("/account/sessions").text
    assert "198.51.100.77" in shown
    assert "1.1.1.1" not in shown


def test_development_mailbox_shows_emails_as_rendered(make_app):
    app = make_app(environment="development", base_url="http://127.0.0.1:8000")
    client = Browser(app, address="127.0.0.1")
    assert client.get("/dev/mailbox").status_code == 200
    client.register("ada@example.com")
    work_off(app)

    (mail,) = client.get("/dev/mailbox.json").json
    assert mail["to"] == "ada@example.com"
    assert "/auth/verify-email/" in mail["links"][0]
    (path,) = {a.attrs["href"] for a in client.page("/dev/mailbox").find_all('main a[href^="/dev/mailbox/"]')}
    assert "Confirm your email address" in client.get(path).text
    framed = client.get(path + "/html")
    assert "sandbox" in framed.headers["Content-Security-Policy"]
    assert client.get("/dev/mailbox/none").status_code == 404

    # Development can listen on every address.
    stranger, proxied = Browser(app), {"X-Forwarded-For": "203.0.113.7"}
    for address in ("/dev/mailbox", "/dev/mailbox.json", path, f"{path}/html"):
        assert stranger.get(address).status_code == 404
        assert client.get(address, headers=proxied).status_code == 404
        assert client.get(address).status_code == 200


def test_development_shows_that_jobs_wait_for_a_worker(make_app, clock):
    client = Browser(make_app(environment="development", base_url="http://127.0.0.1:8000"))
    client.register("ada@example.com")
    assert "flask jobs worker" not in client.get("/").text
    clock.advance(seconds=11)

    assert "flask jobs worker" in client.get("/").text
