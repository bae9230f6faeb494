"""Deployment: hosts, proxies, paths, files, queues and databases."""

import gc
import logging
import stat
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from rq import Queue
from rq.serializers import JSONSerializer
from sqlalchemy import select

from app.auth.models import Session
from app.core.extensions import db
from app.core.redis_client import connect
from app.core.settings import ROOT
from app.jobs.models import Job
from app.jobs.redis_queue import PERFORM, queue_state
from app.jobs.rq_workers import OurJob, Worker
from app.jobs.tasks import NoOperation
from app.unit_of_work import unit_of_work
from run import EmbeddedValkey
from tests.support.browser import Browser
from tests.support.commands import flask_command
from tests.support.people import People
from tests.support.workspace import run_folder, worker_name


def sessions(app):
    with app.app_context():
        return db.session.scalars(select(Session).order_by(Session.id)).all()


# ── hosts and URLs ──


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ("203.0.113.10:40001", "203.0.113.10"),
        ("[2001:db8::10]:40001", "2001:db8::10"),
        ("[2001:db8::10]", "2001:db8::10"),
        ("2001:db8::10", "2001:db8::10"),
    ],
)
def test_client_port_is_removed(keep_app, forwarded, address):
    app = keep_app(trusted_proxies=1)
    People(app).add("ada@example.com")
    browser = Browser(app)
    browser.send("GET", "/auth/login")
    token = browser.token()
    browser.send(
        "POST",
        "/auth/login",
        data={"csrf_token": token, "email": "ada@example.com", "password": "a quieter harbour"},
        headers={"X-Forwarded-For": forwarded},
    )

    assert [row.address for row in sessions(app)] == [address]


@pytest.mark.databases("sqlite")
def test_rate_limit_ignores_the_client_port(make_app):
    browser = Browser(make_app(trusted_proxies=1, limit_scale=1, limit_strength="2 per minute"))
    token = browser.token()

    def ask(port):
        headers = {"X-Forwarded-For": f"203.0.113.10:{port}", "X-CSRFToken": token}
        return browser.send("POST", "/auth/password-strength", data={"password": "x"}, headers=headers).status_code

    assert [ask(port) for port in (40001, 40002, 40003)] == [200, 200, 429]


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    ("base_url", "host", "status"),
    [
        ("https://bücher.example", "xn--bcher-kva.example", 302),
        ("https://BÜCHER.example:443", "XN--BCHER-KVA.example.", 302),
        ("https://accounts.example.com", "Accounts.Example.COM", 302),
        ("https://accounts.example.com", "accounts.example.com.", 302),
        ("https://accounts.example.com:8443", "accounts.example.com:8443", 302),
        ("https://[2001:db8::1]:8443", "[2001:db8:0::1]:8443", 302),
        ("https://accounts.example.com", "evil.test", 400),
        ("https://accounts.example.com", "accounts.example.com.evil.test", 400),
        ("https://accounts.example.com", "[::2]", 400),
        ("https://accounts.example.com", "[", 400),
        ("https://accounts.example.com", "x y", 400),
    ],
)
def test_host_is_recognized_in_every_spelling(keep_app, base_url, host, status):
    app = keep_app(base_url=base_url)
    browser = Browser(app)
    origin = app.extensions["settings"].public_url
    answer = browser.send("POST", "/auth/logout", base_url=origin, headers={"Host": host, "Origin": origin})

    assert answer.status_code == status


@pytest.mark.databases("sqlite")
@pytest.mark.settings(base_url="", host="::1", mail_from="")
def test_site_on_an_ipv6_address_serves_and_sends_email(client, people, mailbox):
    person = people.add("ada@example.com")

    typed = {"email": person.email, "password": person.password}
    assert client.post("/auth/login", typed, page="/auth/login").status_code == 302
    answer = client.post("/auth/forgot-password", typed, page="/auth/forgot-password")
    assert mailbox.link_from(answer).startswith("http://[::1]:8000/auth/reset-password/")
    assert mailbox.last().sender == "Gatehouse <no-reply@[IPv6:::1]>"


@pytest.mark.databases("sqlite")
@pytest.mark.settings(base_url="https://gatehouse.test/accounts", allowed_hosts=["gatehouse.test"])
def test_mount_path_is_part_of_every_url_and_cookie(client, people, mailbox):
    person = people.add("ada@example.com")
    location = client.get("/account/sessions?before=7").location
    answer = client.post(location, {"email": person.email, "password": person.password})
    link = mailbox.link_from(client.forgot_password(person.email))
    page = client.page("/account/api-keys")

    assert location == "/accounts/auth/login?next=/accounts/account/sessions?before%3D7"
    assert answer.location == "/accounts/account/sessions?before=7"
    assert {cookie.path for cookie in client.cookies()} == {"/accounts"}
    assert link.startswith("https://gatehouse.test/accounts/auth/reset-password/")
    assert client.get(link).location == "/accounts/auth/reset-password"
    assert client.reset_password(link, "a louder harbour today").location == "/accounts/auth/login"
    addresses = [node.attrs[name] for name in ("href", "src", "action") for node in page.find_all(f"[{name}]")]
    assert [address for address in addresses if not address.startswith(("/accounts/", "#"))] == []


@pytest.mark.databases("sqlite")
@pytest.mark.settings(base_url="https://gatehouse.test/accounts")
@pytest.mark.parametrize("target", ["/account", "//evil.test/accounts", "/accounts//evil.test", "/accountsx/account"])
def test_other_paths_of_the_host_are_not_served(client, people, target):
    person = people.add("ada@example.com")
    answer = client.post("/auth/login", {"email": person.email, "password": person.password, "next": target})

    assert answer.location == "/accounts/account"


# ── files ──


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("name", ["plain", "what? a%20b"])
@pytest.mark.parametrize("url", ["", "sqlite:///my.db", "sqlite:///my.db?timeout=5"])
def test_database_file_is_where_configured_and_private(make_app, tmp_path, name, url):
    app = make_app(instance_path=tmp_path / name, database_url=url)
    file = Path(tmp_path / name / ("my.db" if url else "gatehouse.db"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert flask_command(app, "db", "upgrade").exit_code == 0

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert Browser(app).get("/readyz").json["database"] == "ok"


# ── content of requests ──


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("prefix", ["//evil.example", "https://evil.example", "/elsewhere"])
@pytest.mark.parametrize("mounted_at", ["", "/accounts"])
def test_mount_path_comes_from_base_url_alone(make_app, caplog, prefix, mounted_at):
    browser = Browser(make_app(trusted_proxies=1, base_url=f"http://gatehouse.test{mounted_at}"))
    logging.getLogger().addHandler(caplog.handler)  # Creating the application has replaced the handlers.
    headers = {"X-Forwarded-Prefix": prefix, "X-Forwarded-For": "203.0.113.7"}

    page = browser.send("GET", "/auth/login", headers=headers)
    redirect = browser.send("GET", "/account", headers=headers)

    assert prefix not in page.text
    assert f'href="{mounted_at}/auth/' in page.text
    assert redirect.location.startswith(f"{mounted_at}/auth/login")
    warned = [record for record in caplog.records if "X-Forwarded-Prefix is ignored" in record.message]
    assert len(warned) == (0 if mounted_at else 1)


@pytest.mark.databases("sqlite")
def test_process_memory_does_not_grow_with_request_content(make_app):
    browser = Browser(make_app(trusted_proxies=1))

    def ask(number):
        unique = f"{number}x{number * 7919}"
        headers = {
            "X-Forwarded-For": f"198.51.{number // 250 % 250}.{number % 250}",
            "X-Forwarded-Prefix": f"/{unique}",
            "X-Forwarded-Host": "gatehouse.test",
            "X-Request-ID": f"request-{unique}",
            "Accept-Language": f"x-{unique}",
            "Referer": f"http://gatehouse.test/{unique}",
            "Origin": f"http://{unique}.example",
            "Cookie": f"session={unique}; device={unique}",
            "Authorization": f"Bearer {unique}",
        }
        for path in (
            "/auth/login",
            f"/nowhere/{unique}",
            f"/auth/reset-password/{unique}",
            f"/api/v1/users/me?q={unique}",
        ):
            browser.send("GET", f"{path}{'&' if '?' in path else '?'}next=/{unique}", headers=headers)

    for number in range(50):  # Fill what is bounded: caches of libraries, and of the application's URLs.
        ask(number)
    before = held()
    for number in range(50, 150):
        ask(number)

    assert held() - before < 1000


def held():
    """Return the memory blocks of this process: the garbage collector does not track dicts of strings."""
    gc.collect()
    return sys.getallocatedblocks()


# ── queues ──


@pytest.fixture
def own_valkey():
    """A Valkey that a test may change."""
    server = EmbeddedValkey(run_folder() / f"spoilt-{worker_name()}")
    server.start()
    yield server
    server.stop()


@pytest.mark.databases("sqlite")
def test_read_only_queue_is_detected(make_app, own_valkey):
    app = make_app(redis_url=own_valkey.url)
    browser, client = Browser(app), connect(own_valkey.url)
    assert browser.get("/readyz").json == {"status": "ok", "database": "ok", "migrations": "ok", "queue": "ok"}

    client.execute_command("REPLICAOF", "127.0.0.1", "1")
    ready = browser.get("/readyz")

    assert (ready.status_code, ready.json["status"], ready.json["queue"]) == (200, "degraded", "unwritable")
    assert "refuses writes" in flask_command(app, "doctor").output
    client.execute_command("REPLICAOF", "NO", "ONE")
    assert browser.get("/readyz").json["queue"] == "ok"


def test_full_queue_and_cluster_are_detected(own_valkey, monkeypatch):
    client = connect(own_valkey.url)
    client.config_set("maxmemory", 1)
    assert queue_state(client) == "unwritable"
    client.config_set("maxmemory", 0)
    assert queue_state(client) == "ok"
    monkeypatch.setattr(type(client), "info", lambda self, section: {"cluster_enabled": 1})
    assert queue_state(client) == "cluster"


@pytest.mark.databases("sqlite")
def test_worker_refuses_a_cluster_with_one_sentence(app, flask, monkeypatch):
    monkeypatch.setattr("app.jobs.redis_queue.queue_state", lambda connection: "cluster")
    result = flask("jobs", "worker", "--burst")

    assert result.exit_code == 1
    assert "is a cluster, which RQ does not support" in result.output


@pytest.mark.databases("sqlite")
def test_worker_runs_only_our_function_with_one_id(app, redis_url, tmp_path, log):
    """Everyone who can write to Redis chooses the name, arguments, callbacks and webhooks of an RQ job."""
    proof = tmp_path / "proof"
    connection = connect(redis_url)
    queue = Queue("urgent", connection=connection, serializer=JSONSerializer)
    for name, args in [
        ("os.mkdir", (str(proof),)),
        (PERFORM, (str(proof),)),
        (PERFORM, (True,)),
        (PERFORM, (1, 2)),
        (PERFORM, ()),
        (PERFORM, (-1,)),
        (PERFORM, (2**63,)),
    ]:
        queue.enqueue_call(name, args=args)
    with app.app_context(), unit_of_work() as work:
        job_id = work.enqueue(NoOperation())
    ours = queue.enqueue_call(PERFORM, args=(job_id,))
    connection.hset(ours.key, "success_callback_name", "os.getcwd")
    undecodable = queue.enqueue_call(PERFORM, args=(job_id,))
    connection.hset(undecodable.key, "data", b"\x80\x04not json")

    worker = Worker(
        [Queue("urgent", connection=connection, serializer=JSONSerializer, job_class=OurJob)],
        connection=connection,
        serializer=JSONSerializer,
        job_class=OurJob,
    )
    worker.app = app
    worker.work(burst=True, logging_level="ERROR")

    assert not proof.exists()
    assert log.text.count("dropped what was no job of ours") == 7  # RQ fails unreadable jobs itself.
    with app.app_context():
        assert db.session.get(Job, job_id).state == "done"
    assert queue.count == 0


# ── commands ──


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("command", [("users", "list"), ("jobs", "list"), ("users", "show", "ada@example.com")])
@pytest.mark.parametrize("url", ["postgresql://nobody@127.0.0.1:1/none", "sqlite:////nowhere/at/all.db"])
def test_command_without_its_database_is_one_sentence(make_app, command, url):
    result = flask_command(make_app(database_url=url), *command)

    assert result.exit_code == 1
    assert result.stderr.startswith("Error: Can't use the database: ")
    assert result.stderr.count("\n") == 1


def test_command_before_the_first_migration_is_one_sentence(fresh_database_url, make_app):
    result = flask_command(make_app(database_url=fresh_database_url), "users", "list")

    assert result.exit_code == 1
    assert result.stderr.startswith("Error: Can't use the database: ")
    assert "`flask db upgrade`" in result.stderr


@pytest.fixture
def fresh_database_url(database_url, tmp_path):
    """The URL of a new empty database: another file, or a schema without tables."""
    if database_url.startswith("sqlite"):
        return f"sqlite:///{tmp_path / 'fresh.db'}"
    return f"{database_url}{'&' if '?' in database_url else '?'}options=-csearch_path%3Dnowhere"


def test_gunicorn_finds_the_application_from_any_folder(tmp_path, sqlite_template):
    checked = subprocess.run(
        [sys.executable, "-m", "gunicorn", "--check-config", "--config", ROOT / "gunicorn.conf.py", "wsgi:app"],
        cwd=tmp_path,
        env={
            "PATH": "/usr/bin:/bin",
            "ENVIRONMENT": "testing",
            "INSTANCE_PATH": str(tmp_path),
            "DATABASE_URL": f"sqlite:///{sqlite_template}",
        },
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert checked.returncode == 0, checked.stderr


@pytest.mark.databases("sqlite")
@pytest.mark.settings(
    environment="production", base_url="https://gatehouse.test", argon2_memory_kib=19456, argon2_time_cost=2
)
def test_doctor_expects_a_proxy_in_production(flask):
    assert "TRUSTED_PROXIES is 0: slow clients block others" in flask("doctor").output
