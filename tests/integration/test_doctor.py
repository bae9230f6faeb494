"""`flask doctor`: common mistakes in deployments, each with its fix."""

import ssl
import stat
import threading
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from flask import current_app
from sqlalchemy import make_url
from werkzeug.serving import make_server

from app.core.database import file_system
from app.core.extensions import settings
from app.core.settings import SettingsError
from app.core.tokens import doctor_token
from app.jobs.redis_queue import SeenWorker, Workers
from app.ops.doctor import check_connections, check_env_file
from app.ops.doctor_external import Unreachable, looked_at
from app.settings import Settings
from tests.support.commands import flask_command
from tests.support.databases import SIGNING_KEY
from tests.support.deleted import DELETED, needs
from tests.support.provider import running_provider
from tests.support.smtp_server import running_smtp_server
from tests.support.workspace import CERTIFICATE


def test_healthy_database_is_named_with_its_version(flask, database_url):
    output = flask("doctor").output
    assert ("database: SQLite 3." in output) == database_url.startswith("sqlite")
    assert ("database: PostgreSQL " in output) == database_url.startswith("postgresql")
    assert "clock" not in output


@pytest.mark.databases("postgresql")
def test_different_clocks_are_reported(flask, clock):
    clock.advance(seconds=-40)
    output = flask("doctor").output
    assert "the database's clock is 40 s ahead" in output or "the database's clock is 41 s ahead" in output
    clock.advance(seconds=100)
    assert "behind" in flask("doctor").output


@pytest.mark.databases("postgresql")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"port": 1}, ("Connection refused", "start PostgreSQL")),
        ({"host": "nowhere.invalid"}, ("resolve host", "fix the host")),
        ({"database": "nowhere"}, ('database "nowhere" does not exist', "create it")),
        ({"username": "nobody", "password": "wrong"}, ("nobody", "DATABASE_URL")),
    ],
    ids=str,
)
def test_each_cause_of_a_failing_database_is_named_with_its_fix(make_app, database_url, change, words):
    valid = make_url(database_url.replace("postgresql://", "postgresql+psycopg://"))
    host, port = valid.query.get("host"), valid.query.get("port")
    wrong = {"host": valid.host or "127.0.0.1"} if change.keys() & {"port", "host"} else {}
    query = {name: value for name, value in valid.query.items() if not (wrong and name in {"host", "port"})}
    url = valid.set(**{**wrong, **change}, query=query).render_as_string(hide_password=False)
    assert host or port or valid.host
    result = flask_command(make_app(database_url=url.replace("+psycopg", "")), "doctor")
    (line,) = [line for line in result.output.splitlines() if line.startswith("error    database:")]
    assert all(word in line for word in words), line
    assert "wrong" not in line
    assert result.exit_code == 1


@pytest.mark.databases("sqlite")
def test_doctor_does_not_create_a_missing_database(make_app, tmp_path):
    app = make_app(database_url=f"sqlite:///{tmp_path / 'new.db'}")
    result = flask_command(app, "doctor")
    assert "error    database is missing: run `flask db upgrade`" in result.output
    assert result.exit_code == 1
    assert not (tmp_path / "new.db").exists()
    assert flask_command(app, "db", "upgrade").exit_code == 0
    assert stat.S_IMODE((tmp_path / "new.db").stat().st_mode) == 0o600
    assert "database is missing" not in flask_command(app, "doctor").output


@pytest.mark.databases("sqlite")
def test_server_in_development_or_without_database_url_is_reported(make_app):
    output = flask_command(
        make_app(environment="development", base_url="https://accounts.example.com"), "doctor"
    ).output
    assert "error    ENVIRONMENT is development, and BASE_URL is https" in output
    assert "ENVIRONMENT is" not in flask_command(make_app(environment="development"), "doctor").output
    live = {"environment": "production", "argon2_memory_kib": 19456, "argon2_time_cost": 2}
    live["base_url"] = "https://127.0.0.1:9"
    output = flask_command(make_app(**live, database_url=""), "doctor").output
    assert "warning  DATABASE_URL is not set" in output
    assert "DATABASE_URL is not set" not in flask_command(make_app(**live), "doctor").output


@pytest.mark.databases("postgresql")
def test_full_database_disk_is_detected_by_writing(app, flask, monkeypatch):
    assert "disk of the database" not in flask("doctor").output
    # Like a full disk: the server refuses to write.
    monkeypatch.setattr("app.ops.doctor.PROBE", "SELECT pg_read_file('/nowhere/at/all')")
    assert "error    disk of the database: it refuses writes" in flask("doctor").output
    monkeypatch.undo()
    assert "disk of the database" not in flask("doctor").output


@pytest.mark.databases("sqlite")
@pytest.mark.filterwarnings("ignore:Requiring AUTH")
def test_mail_server_that_requires_authentication_is_reported(make_app):
    wants = {"password_of": {"mailer": "right"}, "auth_required": True, "auth_require_tls": False}
    with running_smtp_server(**wants) as server:
        output = flask_command(make_app(mail_url=server.url), "doctor").output
        assert "error    mail server: 127.0.0.1 does not accept email: 530" in output


@pytest.mark.databases("sqlite")
def test_wrong_mail_password_is_reported_before_an_email_waits(make_app):
    with running_smtp_server(password_of={"mailer": "right"}, auth_require_tls=False) as server:
        good = make_app(mail_url=f"smtp://mailer:right@127.0.0.1:{server.port}")
        bad = make_app(mail_url=f"smtp://mailer:wrong@127.0.0.1:{server.port}")
        assert "ok       mail server" in flask_command(good, "doctor").output
        output = flask_command(bad, "doctor").output
        assert server.received == []
    assert "error    mail server: 127.0.0.1 does not accept email: 535" in output
    assert "wrong" not in output


# ── the site from outside ──


class Proxy:
    """WSGI middleware that changes requests and responses like a proxy."""

    def __init__(self, app, *, headers=None, drop=(), add=()):
        self._app, self._headers, self._drop, self._add = app, headers or {}, drop, add

    def __call__(self, environ, start_response):
        environ |= {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in self._headers.items()}

        def start(status, headers, *rest):
            kept = [(name, value) for name, value in headers if name not in self._drop]
            return start_response(status, [*kept, *self._add], *rest)

        return self._app(environ, start)


@contextmanager
def served(app, **how):
    """The application's settings, with a server at its base URL."""
    server = make_server("127.0.0.1", 0, Proxy(app.wsgi_app, **how), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def seen(make_app, *, asks=None, trusted=0, **how):
    """Return the doctor's findings with these proxies; `asks` changes the settings of the doctor's side."""
    app = make_app(trusted_proxies=trusted, base_url="http://127.0.0.1")
    with served(app, **how) as url:
        changed = {"base_url": url, "trusted_proxies": trusted, **(asks or {})}
        settings = Settings(**(app.extensions["settings"].model_dump() | changed))
        if not (asks or {}).get("base_url"):
            # The port is known only now.
            object.__setattr__(app.extensions["settings"], "base_url", url)
        return looked_at(settings)


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    ("trusted", "forwarded", "words"),
    [
        (0, None, None),
        (1, "203.0.113.9", None),
        (2, "203.0.113.9, 10.0.0.1", None),
        (0, "203.0.113.9", "set TRUSTED_PROXIES=1"),
        (1, "203.0.113.9, 10.0.0.1", "set TRUSTED_PROXIES=2"),
        (1, None, "fake their address"),
        (2, "203.0.113.9", "fake their address"),
    ],
)
def test_number_of_proxies_is_counted(make_app, trusted, forwarded, words):
    address, wrong = seen(make_app, trusted=trusted, headers={"X-Forwarded-For": forwarded} if forwarded else None)
    assert address in {"127.0.0.1", "203.0.113.9", "10.0.0.1"}
    assert [advice for _, advice in wrong if words and words in advice] or not wrong
    assert bool(wrong) == bool(words)


@pytest.mark.databases("sqlite")
def test_proxy_that_hides_https_or_the_host_is_reported(make_app):
    hides = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
    _, ((what, advice),) = seen(make_app, trusted=1, headers=hides)
    assert "requests arrive for https://127.0.0.1" in what
    assert "X-Forwarded-Proto" in advice
    _, ((what, _),) = seen(make_app, headers={"Host": "other.example"})
    assert "host of BASE_URL is not accepted" in what


@pytest.mark.databases("sqlite")
def test_mount_path_known_only_from_a_header_is_reported(make_app):
    _, ((what, advice),) = seen(make_app, headers={"X-Forwarded-Prefix": "/accounts"})
    assert what == "X-Forwarded-Prefix is sent and ignored"
    assert "BASE_URL" in advice


@pytest.mark.databases("sqlite")
def test_proxy_that_changes_cookies_is_reported(make_app):
    _, ((what, _),) = seen(make_app, add=[("Set-Cookie", "route=1; Path=/")])
    assert what == "the cookie route lost Secure or HttpOnly"


@pytest.mark.databases("sqlite")
def test_wrong_site_wrong_key_and_no_server_are_reported(make_app):
    other = {"secret_key": "another-key-of-40-characters-Xy7-Qw9-Zt5"}
    address, ((what, advice),) = seen(make_app, asks=other)
    assert (address, "is not this installation" in what, "SECRET_KEY" in advice) == ("", True, True)
    values = {"environment": "testing", "secret_key": SIGNING_KEY}
    for url, cause, advice in (
        ("http://127.0.0.1:9", "refused", "start the proxy"),
        ("http://nowhere.invalid", "not known|resolution", "DNS"),
    ):
        with pytest.raises(Unreachable, match=cause) as problem:
            looked_at(Settings(**values, base_url=url))
        assert advice in problem.value.advice


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("status", [502, 503, 504])
def test_proxy_without_a_web_process_is_reported(make_app, status):
    def proxy(environ, start_response):
        start_response(f"{status} Bad Gateway", [("Content-Type", "text/html")])
        return [b"<h1>Bad Gateway</h1>"]

    app = make_app()
    with served(SimpleNamespace(wsgi_app=proxy)) as url:
        _, ((what, advice),) = looked_at(Settings(**(app.extensions["settings"].model_dump() | {"base_url": url})))
    assert what == f"the proxy answers {status}"
    assert "start gatehouse-web" in advice


@pytest.mark.databases("sqlite")
def test_certificate_mismatch_is_reported():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE, CERTIFICATE.with_name("key.pem"))
    server = make_server("127.0.0.1", 0, lambda *_: [], ssl_context=context)
    thread = threading.Thread(target=server.handle_request)
    thread.start()
    try:
        with pytest.raises(Unreachable, match="CERTIFICATE_VERIFY_FAILED") as problem:
            looked_at(
                Settings(
                    environment="testing", secret_key=SIGNING_KEY, base_url=f"https://127.0.0.1:{server.server_port}"
                )
            )
    finally:
        thread.join()
        server.server_close()
    assert "certificate is not valid" in problem.value.advice


@pytest.mark.databases("sqlite")
def test_request_details_are_shown_to_the_doctor_only(client, clock):
    assert client.get("/healthz").json == {"status": "ok"}
    assert client.get("/healthz?doctor=x").json == {"status": "ok"}
    body = client.get(f"/healthz?doctor={doctor_token([SIGNING_KEY])}").json
    assert body == {
        "status": "ok",
        "address": "203.0.113.7",
        "url": "http://gatehouse.test/",
        "proxies": 0,
        "prefix": False,
    }


@pytest.mark.databases("sqlite")
@pytest.mark.settings(
    environment="production",
    base_url="https://127.0.0.1:9",
    argon2_memory_kib=19456,
    argon2_time_cost=2,
    trusted_proxies=1,
)
def test_doctor_asks_base_url_in_production(flask):
    output = flask("doctor").output
    assert "error    https://127.0.0.1:9 can't be reached from here" in output
    assert "systemctl start nginx" in output


# ── connections and files ──


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"database_url": "postgresql://gatehouse:pw@db.example.com/gatehouse"}, "TLS to PostgreSQL at db.example.com"),
        ({"database_url": "postgresql://gatehouse:pw@10.0.0.5/g?sslmode=prefer"}, "TLS to PostgreSQL at 10.0.0.5"),
        ({"database_url": "postgresql://gatehouse:pw@db.example.com/g?sslmode=verify-full"}, None),
        ({"database_url": "postgresql://gatehouse:pw@127.0.0.1/g"}, None),
        ({"database_url": "postgresql:///g?host=/run/postgresql"}, None),
        ({"redis_url": "redis://:pw@queue.example.com/0"}, "no TLS to Redis at queue.example.com"),
        ({"redis_url": "rediss://:pw@queue.example.com/0"}, None),
        ({"redis_url": "redis://127.0.0.1/0"}, "Redis accepts connections without a password"),
        ({"redis_url": "unix:///run/redis.sock"}, None),
        ({"redis_url": ""}, None),
    ],
)
def test_insecure_connections_are_reported(make_app, changes, words):
    values = {"redis_url": "", "database_url": "sqlite://", **changes}
    with make_app().app_context():
        current_app.extensions["settings"] = Settings(**(settings().model_dump() | values))
        findings = [finding.what for finding in check_connections()]
    assert [words in finding_text for finding_text in findings] == ([True] if words else [])


@pytest.mark.databases("sqlite")
def test_readable_env_file_is_reported(flask, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert ".env" not in flask("doctor").output
    Path(".env").touch(0o600)
    assert ".env" not in flask("doctor").output
    Path(".env").chmod(0o640)
    assert f".env can be read by others: it contains secrets; run chmod 600 {tmp_path}/.env" in flask("doctor").output


@pytest.mark.databases("sqlite")
def test_unexpected_env_file_syntax_is_reported(make_app, tmp_path):
    file = tmp_path / "gatehouse.env"
    provider = "" if "oauth" in DELETED else "OAUTH_ACME_LABEL=Acme\n"
    file.write_text(f"SITE_NAME='Acme & Co'\n{provider}")
    file.chmod(0o640)

    def told():
        with make_app().app_context():
            current_app.extensions["settings"] = Settings(**(settings().model_dump() | {"env_file": file}))
            return [f"{finding.what}: {finding.advice}" for finding in check_env_file()]

    assert told() == []
    file.write_text("SECRET_KEY=pa$HOMEword\nSITE_NAME='Acme & Co'\nMAIL_URL=smtp://u:a`b@c\nHTTPS_PROXY=x\n")
    file.chmod(0o644)
    readable, ambiguous, unknown = told()
    assert readable.endswith(f"can be read by others: it contains secrets; run chmod 640 {file}")
    assert ambiguous.startswith(f"SECRET_KEY, MAIL_URL in {file}: systemd (EnvironmentFile=) or a shell may read")
    assert unknown.startswith(f"HTTPS_PROXY in {file}: no such setting: only Gatehouse reads this file")


# ── workers, hosts and disks ──


@pytest.mark.databases("sqlite")
@pytest.mark.own_app
def test_workers_and_schedule_are_checked(make_app, clock, monkeypatch):
    app = make_app(environment="development")
    output = flask_command(app, "doctor").output
    assert "warning  workers: 0: emails and jobs wait" in output
    assert "warning  schedule" in output

    here = [
        SeenWorker("elsewhere:1", ("default",), clock.now, clock.now),
        SeenWorker("old:1", (), None, clock.now - timedelta(hours=1)),
    ]
    workers = Workers(tuple(here), clock.now)
    monkeypatch.setattr("app.jobs.notifier.QueueNotifier.find_workers", lambda self: workers)
    result = flask_command(app, "doctor")
    assert "ok       workers: 1" in result.output
    assert "error    SQLite with several hosts" in result.output
    assert "elsewhere" in result.output
    assert "old" not in result.output
    assert result.exit_code == 1


MOUNTS = """\
overlay / overlay rw 0 0
server:/export /srv nfs4 rw 0 0
/dev/sda1 /srv/local ext4 rw 0 0
//nas/share /mnt/share cifs rw 0 0
"""


@pytest.mark.databases("sqlite")
def test_providers_are_checked_and_redirect_uris_printed(make_app):
    needs("oauth")
    with running_provider() as provider:
        gone = provider.settings("gone", discovery_url="http://127.0.0.1:9/.well-known/openid-configuration")
        lines = flask_command(make_app(oauth_providers=[provider.settings(), gone]), "doctor").output.splitlines()
    (good,) = [line for line in lines if "http://gatehouse.test/auth/oauth/acme/callback" in line]
    (bad,) = [line for line in lines if "http://gatehouse.test/auth/oauth/gone/callback" in line]
    assert good.startswith("ok")
    assert "OAUTH_GONE_DISCOVERY_URL" in bad


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/gatehouse.db", "overlay"),
        ("/srv/gatehouse/gatehouse.db", "nfs4"),
        ("/srv/local/gatehouse.db", "ext4"),
        ("/srvother/gatehouse.db", "overlay"),
        ("/mnt/share/gatehouse.db", "cifs"),
    ],
)
def test_file_system_of_a_path_is_detected(tmp_path, path, kind):
    (tmp_path / "mounts").write_text(MOUNTS)
    assert file_system(Path(path), mounts=tmp_path / "mounts") == kind
    assert file_system(Path(path), mounts=tmp_path / "none") == ""


@pytest.mark.databases("sqlite")
def test_sqlite_on_a_network_file_system_is_refused(make_app, monkeypatch):
    monkeypatch.setattr("app.core.database.file_system", lambda path: "nfs4")
    with pytest.raises(SettingsError, match="is on nfs4, where SQLite loses data"):
        make_app()
