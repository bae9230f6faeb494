"""Behind nginx, which keeps or strips the path, and behind PgBouncer in transaction mode."""

import os
import shutil
import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.faults.caller import Caller
from tests.support.databases import emptied
from tests.support.deployment import until
from tests.support.workspace import run_folder, worker_name

ADA = "ada@example.com"
NGINX, PGBOUNCER = (shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/bin") for name in ("nginx", "pgbouncer"))

HEADERS = """
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr:$remote_port;
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_set_header X-Forwarded-Proto $scheme;"""
CONFIG = """
{user}
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    location /accounts/ {{
      proxy_pass {upstream};
      {headers}
    }}
  }}
}}
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@contextmanager
def running(command, *, port):
    """The program, once somebody answers at its port."""
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
def test_a_sub_path_works_through_nginx(build, tmp_path, prefix):
    port = free_port()
    deployment = build(base_url=f"http://127.0.0.1:{port}/accounts", trusted_proxies="1")
    deployment.add_user(ADA, name="Ada", password="a quieter harbour")
    deployment.start_web()
    config = tmp_path / "nginx.conf"
    config.write_text(
        CONFIG.format(
            user="user root;" if os.getuid() == 0 else "",
            folder=tmp_path,
            port=port,
            upstream=deployment.url + ("" if prefix == "kept" else "/"),
            headers=HEADERS + ("proxy_set_header X-Forwarded-Prefix /accounts;" if prefix.endswith("told") else ""),
        )
    )
    with running([NGINX, "-c", config, "-e", tmp_path / "nginx.log"], port=port):
        caller = Caller(f"http://127.0.0.1:{port}")
        asked = caller.get("/accounts/account")
        assert (asked.status, asked.headers["Location"]) == (302, "/accounts/auth/login?next=/accounts/account")
        page = caller.get("/accounts/auth/login").text
        stylesheet = page.partition('rel="stylesheet" href="')[2].partition('"')[0]
        answer = caller.post(asked.headers["Location"], email=ADA, password="a quieter harbour")

        assert stylesheet.startswith("/accounts/")
        assert caller.get(stylesheet).status == 200
        assert (answer.status, answer.headers["Location"]) == (302, "/accounts/account")
        assert caller.get("/accounts/account").status == 200
        assert "127.0.0.1" in caller.get("/accounts/account/sessions").text
        assert caller.get("/accounts/nowhere").status == 404
        assert caller.get("/accounts/api/v1/users/me").status == 200


@pytest.fixture
def pooled(postgres, tmp_path):
    """The URL of this worker's PostgreSQL behind a PgBouncer that lends its connections by transaction."""
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
    # It never runs as root, and the server's socket is open to the server's own user.
    owner = ["-u", Path(real["host"]).owner()] if os.getuid() == 0 else []
    with running([PGBOUNCER, *owner, config], port=port):
        yield f"postgresql://{real['user']}@127.0.0.1:{port}/{real['dbname']}"


@pytest.mark.skipif(PGBOUNCER is None, reason="PgBouncer is not installed")
def test_pages_jobs_and_the_schedule_work_through_pgbouncer(build, pooled, smtp_server):
    deployment = build(database_url=pooled, web_processes="2")
    deployment.valkey.start()
    deployment.start_web()
    deployment.start_worker(processes=2)
    deployment.start_schedule()

    for number in range(12):  # psycopg prepares what it has run five times.
        assert Caller(deployment.url).register(f"user{number}@example.com").status == 303

    until(lambda: len(smtp_server.received) == 12, why=deployment.told)
    until(lambda: all(job.state == "done" for job in deployment.jobs()), why=deployment.told)
    assert "prepared statement" not in deployment.told()
    assert "_pg3_" not in deployment.told()
    with psycopg.connect(pooled) as connection:
        assert connection.execute("SELECT count(*) FROM users").fetchone() == (12,)
