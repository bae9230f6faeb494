"""Deployments behind nginx, which keeps or strips the path, and behind PgBouncer in transaction mode."""

import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
from contextlib import contextmanager
from http.client import HTTPConnection
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from app.core.settings import ROOT
from tests.faults.caller import Caller
from tests.support.databases import emptied
from tests.support.deployment import until
from tests.support.pages import Page
from tests.support.workspace import CERTIFICATE, KEY, free_port, run_folder, worker_name

pytestmark = pytest.mark.slow


ADA = "ada@example.com"
NGINX, PGBOUNCER = (shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/bin") for name in ("nginx", "pgbouncer"))

HEADERS = """
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr:$remote_port;
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_set_header X-Forwarded-Proto $scheme;"""
MAIN = """
{user}
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  {servers}
}}
"""
SUB_PATH = """
server {{
  listen 127.0.0.1:{port};
  location /accounts/ {{
    proxy_pass {upstream};
    {headers}
  }}
}}
"""


@contextmanager
def running(command, *, port):
    """Start a program and wait until its port answers."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        until(lambda: process.poll() is not None or answers(port))
        assert process.poll() is None, process.stdout.read().decode()
        yield
    finally:
        process.terminate()
        process.wait(60)
        process.stdout.close()


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
@pytest.mark.parametrize("prefix", ["kept", "taken out", "taken out and told"])
@pytest.mark.deep
def test_sub_path_works_behind_nginx(build, tmp_path, prefix):
    port = free_port()
    deployment = build(base_url=f"http://127.0.0.1:{port}/accounts", trusted_proxies="1")
    deployment.add_user(ADA, name="Ada", password="a quieter harbour")
    deployment.start_web()
    config = tmp_path / "nginx.conf"
    server = SUB_PATH.format(
        port=port,
        upstream=deployment.url + ("" if prefix == "kept" else "/"),
        headers=HEADERS + ("proxy_set_header X-Forwarded-Prefix /accounts;" if prefix.endswith("told") else ""),
    )
    config.write_text(MAIN.format(user="user root;" if os.getuid() == 0 else "", folder=tmp_path, servers=server))
    with running([NGINX, "-c", config, "-e", tmp_path / "nginx.log"], port=port):
        caller = Caller(f"http://127.0.0.1:{port}")
        redirect = caller.get("/accounts/account")
        assert (redirect.status, redirect.headers["Location"]) == (302, "/accounts/auth/login?next=/accounts/account")
        page = caller.get("/accounts/auth/login").text
        stylesheet = page.partition('rel="stylesheet" href="')[2].partition('"')[0]
        answer = caller.post(redirect.headers["Location"], email=ADA, password="a quieter harbour")

        assert stylesheet.startswith("/accounts/")
        assert caller.get(stylesheet).status == 200
        assert (answer.status, answer.headers["Location"]) == (302, "/accounts/account")
        assert caller.get("/accounts/account").status == 200
        assert "127.0.0.1" in caller.get("/accounts/account/sessions").text
        assert caller.get("/accounts/nowhere").status == 404
        assert caller.get("/accounts/api/v1/users/me").status == 200


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
def test_documented_nginx_redirects_pages_not_programs_and_refuses_weak_ciphers(build, tmp_path):
    plain, tls = free_port(), free_port()
    deployment = build(base_url=f"https://accounts.example.com:{tls}", trusted_proxies="1")
    deployment.start_web()
    servers = (ROOT / "ops/nginx.conf").read_text()
    for documented, ours in (
        ("listen 80;", f"listen 127.0.0.1:{plain};"),
        ("listen 443 ssl http2;", f"listen 127.0.0.1:{tls} ssl;"),
        ("/etc/ssl/accounts.example.com.pem", str(CERTIFICATE)),
        ("/etc/ssl/accounts.example.com.key", str(KEY)),
        ("127.0.0.1:8000", f"127.0.0.1:{deployment.port}"),
        ("$host;", f"accounts.example.com:{tls};"),
    ):
        assert documented in servers
        servers = servers.replace(documented, ours)
    config = tmp_path / "nginx.conf"
    config.write_text(MAIN.format(user="user root;" if os.getuid() == 0 else "", folder=tmp_path, servers=servers))
    with running([NGINX, "-c", config, "-e", tmp_path / "nginx.log"], port=tls):
        caller = Caller(f"http://127.0.0.1:{plain}")
        page = caller.get("/auth/login")
        assert (page.status, page.headers["Location"]) == (301, "https://accounts.example.com/auth/login")
        program = caller.get("/api/v1/users/me")
        assert (program.status, program.headers["Location"]) == (403, None)
        assert [handshake(tls, cipher) for cipher in ("ECDHE+AESGCM", "ECDHE+SHA1")] == [True, False]


def handshake(port, ciphers):
    """Return whether the server accepts TLS 1.2 with one of these ciphers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(ciphers)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as raw, context.wrap_socket(raw):
            return True
    except ssl.SSLError:
        return False


class Echo(BaseHTTPRequestHandler):
    """Another app without accounts, which returns the headers it received."""

    def do_GET(self):
        identity = {name: value for name, value in self.headers.items() if name.startswith("X-Auth")}
        body = json.dumps({"path": self.path, **identity}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - the name is the library's

    def log_message(self, *_):
        pass


class Person:
    """A browser that resolves every name to this machine and stores cookies by domain."""

    def __init__(self, port):
        self._port, self._cookies = port, {}

    def ask(self, method, host, path, body=None, **headers):
        cookies = "; ".join(
            f"{name}={value}" for name, (value, domain) in self._cookies.items() if host.endswith(domain)
        )
        connection = HTTPConnection("127.0.0.1", self._port, timeout=60)
        sent = {"Host": f"{host}:{self._port}", "Cookie": cookies, **headers}
        connection.request(method, path, body and urlencode(body), sent)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        for header in answer.msg.get_all("Set-Cookie", []):
            for name, morsel in SimpleCookie(header).items():
                self._cookies[name] = (morsel.value, morsel["domain"] or host)
        return answer, text

    def follow(self, answer):
        location = urlsplit(answer.headers["Location"])
        return self.ask("GET", location.hostname, f"{location.path}?{location.query}".rstrip("?"))


def documented_server():
    """The first nginx server of docs/forward-auth.md."""
    return (ROOT / "docs/forward-auth.md").read_text().partition("```nginx\n")[2].partition("```")[0]


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
def test_documented_nginx_tells_another_app_who_is_signed_in(build, tmp_path):
    port, form = free_port(), {"Content-Type": "application/x-www-form-urlencoded"}
    accounts, wiki = "accounts.gatehouse.test", "wiki.gatehouse.test"
    deployment = build(
        base_url=f"http://{accounts}:{port}",
        cookie_domain="gatehouse.test",
        return_hosts=f"{wiki}:{port}",
        trusted_proxies="1",
    )
    ada = deployment.add_user(ADA, name="Ada", password="a quieter harbour", roles=["member"])
    deployment.start_web()
    app = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=app.serve_forever).start()
    documented = documented_server().replace("listen 443 ssl", f"listen 127.0.0.1:{port}")
    for name, ours in (
        ("accounts.example.com", f"{accounts}:{port}"),
        ("wiki.example.com", wiki),
        ("127.0.0.1:8000", f"127.0.0.1:{deployment.port}"),
        ("127.0.0.1:3000", f"127.0.0.1:{app.server_port}"),
    ):
        documented = documented.replace(name, ours)
    # Gatehouse's own site, as documented elsewhere: all paths.
    own = f"server {{ listen 127.0.0.1:{port}; server_name {accounts}; location / {{ proxy_pass {deployment.url}; {HEADERS} }} }}"
    config = tmp_path / "nginx.conf"
    config.write_text(
        MAIN.format(user="user root;" if os.getuid() == 0 else "", folder=tmp_path, servers=own + documented)
    )
    try:
        with running([NGINX, "-c", config, "-e", tmp_path / "nginx.log"], port=port):
            person, stranger = Person(port), Person(port)
            answer, _ = person.ask("GET", wiki, "/page?a=1&b=2")
            assert answer.status == 302
            sign_in, page = person.follow(answer)
            assert sign_in.status == 200
            fields = {
                element.attrs["name"]: element.attrs.get("value", "") for element in Page(page).find_all("main input")
            }
            typed = fields | {"email": ADA, "password": "a quieter harbour"}
            back, _ = person.ask("POST", accounts, "/auth/login", typed, **form)
            assert back.headers["Location"] == f"http://{wiki}:{port}/page?a=1&b=2"
            there, shown = person.follow(back)
            assert (there.status, json.loads(shown)) == (
                200,
                {"path": "/page?a=1&b=2", "X-Auth-User": str(ada), "X-Auth-Email": ADA, "X-Auth-Roles": "member"},
            )
            _, shown = person.ask(
                "POST",
                wiki,
                "/save",
                {"text": "x" * 5000},
                **form,
                **{"X-Auth-User": "1", "X-Auth-Roles": "administrator"},
            )
            assert json.loads(shown)["X-Auth-User"] == str(ada)
            assert json.loads(shown)["X-Auth-Roles"] == "member"
            assert stranger.ask("GET", wiki, "/", **{"X-Auth-User": "1"})[0].status == 302
            assert stranger.ask("GET", wiki, "/who-is-it")[0].status == 404

            with deployment.work() as work:
                work.sessions.revoke_all(ada, reason="test")
            assert person.ask("GET", wiki, "/page")[0].status == 302
    finally:
        app.shutdown()
        app.server_close()


@pytest.fixture
def pooled(postgres, tmp_path):
    """The URL of this worker's PostgreSQL behind a PgBouncer in transaction mode."""
    real, port = conninfo_to_dict(emptied(postgres)), free_port()
    folder = run_folder() / f"pgbouncer-{worker_name()}-{port}"
    folder.mkdir(mode=0o755)
    config = folder / "pgbouncer.ini"
    server = " ".join(f"{name}={real[name]}" for name in ("host", "port", "user") if real.get(name))
    config.write_text(
        f"""[databases]
{real["dbname"]} = {server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 3
"""
    )
    # PgBouncer does not run as root, and the server's socket is open to the server's user.
    owner = ["-u", Path(real["host"]).owner()] if os.getuid() == 0 else []
    with running([PGBOUNCER, *owner, config], port=port):
        yield f"postgresql://{real['user']}@127.0.0.1:{port}/{real['dbname']}"


@pytest.mark.skipif(PGBOUNCER is None, reason="PgBouncer is not installed")
@pytest.mark.deep
def test_pages_jobs_and_schedule_work_through_pgbouncer(build, pooled, smtp_server):
    deployment = build(database_url=pooled, web_processes="2")
    deployment.valkey.start()
    deployment.start_web()
    deployment.start_worker(processes=2, schedule=True)

    for number in range(12):  # psycopg prepares a statement after five executions.
        assert Caller(deployment.url).register(f"user{number}@example.com").status == 303

    until(lambda: len(smtp_server.received) == 12, why=deployment.told)
    until(lambda: all(job.state == "done" for job in deployment.jobs()), why=deployment.told)
    assert "prepared statement" not in deployment.told()
    assert "_pg3_" not in deployment.told()
    with psycopg.connect(pooled) as connection:
        assert connection.execute("SELECT count(*) FROM users").fetchone() == (12,)
