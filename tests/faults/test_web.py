"""Web workers killed during a sign-up: it is complete or absent."""

import os
import re
import shutil
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from http.client import HTTPException

import psutil
import psycopg
import pytest
from sqlalchemy import select

from app.audit.models import AuditEvent
from app.core.settings import ROOT
from app.users.models import User
from tests.faults.caller import Caller
from tests.support.databases import emptied
from tests.support.deployment import PATIENCE_SECONDS, until

pytestmark = pytest.mark.slow

ADA = "ada@example.com"


def told(deployment):
    """Return what the database holds of each sign-up: user, event and job."""
    with deployment.read() as work:
        users = set(work.session.scalars(select(User.id)))
        events = set(work.session.scalars(select(AuditEvent.subject_id).where(AuditEvent.kind == "user.registered")))
    return users, events, {job.arguments["user_id"] for job in deployment.jobs("answer_registration")}


def register(deployment, email):
    """Return whether the response was a success; the worker may die."""
    try:
        return Caller(deployment.url).register(email).status == 303
    except (OSError, HTTPException):
        return False


def test_sign_up_killed_between_statements_leaves_nothing_and_can_be_repeated(build, postgres):
    deployment = build(database_url=emptied(postgres))
    web = deployment.start_web()
    with ThreadPoolExecutor(1) as visitor, psycopg.connect(postgres) as lock:
        # User and event are written; the job waits.
        lock.execute("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
        answer = visitor.submit(register, deployment, ADA)
        with psycopg.connect(postgres, autocommit=True) as looker:
            until(lambda: waits_for_jobs(looker))
            for child in web.children():
                os.kill(child, signal.SIGKILL)
            assert answer.result() is False
            lock.rollback()
            until(lambda: not is_being_written(looker))

    assert told(deployment) == (set(), set(), set())
    assert register(deployment, ADA)
    users, events, jobs = told(deployment)
    assert len(users) == 1
    assert users == events == jobs
    assert len(deployment.jobs()) == 1


def waits_for_jobs(connection):
    return connection.execute(
        "SELECT count(*) FROM pg_locks WHERE relation = 'jobs'::regclass AND NOT granted"
    ).fetchone()[0]


def is_being_written(connection):
    """Return whether the server still works for other clients."""
    return connection.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid != pg_backend_pid()"
        " AND state LIKE ANY (ARRAY['active', 'idle in transaction%'])"
    ).fetchone()[0]


@pytest.mark.deep
def test_sign_ups_are_complete_or_absent_after_repeated_kills(build):
    deployment = build()
    web = deployment.start_web()
    over = threading.Event()
    addresses = [f"person{number}@example.com" for number in range(8)]

    def kill_again_and_again():
        while not over.wait(0.5):
            for child in web.children():
                os.kill(child, signal.SIGKILL)
            until(lambda: web.children() or over.is_set())

    with ThreadPoolExecutor(4) as visitors:
        killer = threading.Thread(target=kill_again_and_again)
        killer.start()
        try:
            results = list(visitors.map(lambda email: register(deployment, email), addresses))
        finally:
            over.set()
            killer.join()
    answers = dict(zip(addresses, results, strict=True))

    users, events, jobs = told(deployment)
    assert users == events == jobs
    with deployment.read() as work:
        there = set(work.session.scalars(select(User.email)))
    assert {email for email, went_well in answers.items() if went_well} <= there
    assert register(deployment, ADA)


SMUGGLED = (
    b"Content-Length: 4\r\nTransfer-Encoding: chunked",
    b"Content-Length: 4\r\nContent-Length: 5",
    b"Transfer-Encoding: \x0bchunked",
    b"Transfer-Encoding: chunked, identity",
    b"Content-Length: +4",
)


def test_oversized_headers_duplicate_headers_and_conflicting_lengths_are_refused(build):
    """Request smuggling: RFC 9112, section 11.2."""
    deployment = build()
    deployment.start_web()
    assert {headers: status_of(deployment, headers) for headers in SMUGGLED} == dict.fromkeys(SMUGGLED, 400)
    huge = b"X-Padding: " + b"a" * 1_000_000
    twice = b"Authorization: Bearer one\r\nAuthorization: Bearer ghk_two"

    assert status_of(deployment, huge) in {None, 400, 431}
    assert status_of(deployment, twice) == 401
    assert Caller(deployment.url).get("/healthz").status == 200


def status_of(deployment, headers):
    """Return the status of `GET /api/v1/users/me` with these raw headers; None if the connection was cut off."""
    with socket.create_connection(("127.0.0.1", deployment.port), timeout=PATIENCE_SECONDS) as connection:
        # A server that closes before reading everything may cut off its response.
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(
                b"GET /api/v1/users/me HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n" + headers + b"\r\n\r\n"
            )
        with suppress(ConnectionResetError):
            return int(connection.recv(64).split()[1])
    return None


@pytest.mark.deep
def test_metrics_sum_all_workers_and_survive_a_killed_worker(build):
    deployment = build(web_processes="2")
    web = deployment.start_web()
    for _ in range(20):
        deployment.get("/robots.txt")
    assert asked(deployment) == 20

    victim = web.children()[0]
    os.kill(victim, signal.SIGKILL)
    until(lambda: victim not in web.children() and len(web.children()) == 2)
    assert asked(deployment) == 20


def asked(deployment):
    """Return how often /robots.txt was requested, from /metrics."""
    text = deployment.get("/metrics").decode()
    match = re.search(r'^gatehouse_http_requests_total{.*route="/robots.txt",status="200"} (\S+)', text, re.MULTILINE)
    return float(match[1])


# ── a new release ──


@pytest.fixture
def tree(tmp_path):
    """A copy of the code that can change while its web server runs."""
    for name in ("app", "migrations", "wsgi.py", "gunicorn.conf.py"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, tmp_path / "tree" / name)
    return tmp_path / "tree"


def release(tree, name):
    """Make a new release: change a name in a module that gunicorn's master loads too."""
    file = tree / "app" / "core" / "settings.py"
    code, changed = re.subn(r'site_name: str = Field\(\s*"[^"]*"', f'site_name: str = Field("{name}"', file.read_text())
    assert changed == 1
    file.write_text(code)


def shows_only(name, pages):
    return len(pages) >= 50 and all(f"{name}</title>" in page for page in pages[-50:])


@contextmanager
def visitors(deployment, count=4):
    """Send requests without pause, each on a new connection; yield the pages and failures so far."""
    pages, failures, stop = [], [], threading.Event()

    def visit():
        while not stop.is_set():
            try:
                pages.append(deployment.get("/auth/login").decode())
            except (OSError, HTTPException) as failure:
                failures.append(repr(failure))

    threads = [threading.Thread(target=visit) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield pages, failures
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.mark.deep
def test_rolling_release_under_load_fails_no_request(build, tree):
    deployment = build(web_processes="2")
    release(tree, "First")
    web = deployment.start_web(tree=tree)
    with visitors(deployment) as (pages, failures):
        for name in ("Second", "The Third One"):
            release(tree, name)
            os.kill(web.pid, signal.SIGHUP)
            until(partial(shows_only, name, pages), why=web.log.read_text)
        assert failures == []
    # The new processes count requests too.
    counted = re.search(
        r'http_requests_total\{method="GET",route="/auth/login",status="200"\} (\d+)',
        deployment.get("/metrics").decode(),
    )
    assert int(counted[1]) == len(pages)
    assert len(web.children()) == 2


@pytest.mark.deep
def test_restart_under_load_fails_no_request_while_the_socket_is_open(build, tree):
    """A systemd socket unit keeps the socket open while new libraries are loaded."""
    deployment = build(web_processes="2")
    web = deployment.start_web(tree=tree)
    with visitors(deployment) as (pages, failures):
        release(tree, "Second")
        until(lambda: len(pages) > 50)
        web.terminate()
        assert web.wait() == 0
        deployment.start_web(tree=tree)
        until(partial(shows_only, "Second", pages))
        assert failures == []


@pytest.mark.deep
def test_reload_leaves_no_connection_open_in_the_parent(build):
    deployment = build(web_processes="1")
    web = deployment.start_web()
    parent = psutil.Process(web.pid)
    counts = []
    for _ in range(5):
        before = web.children()
        os.kill(web.pid, signal.SIGHUP)
        until(lambda before=before: web.children() and not set(before) & set(web.children()))
        assert deployment.get("/healthz")
        counts.append(parent.num_fds())
    assert counts[-1] <= counts[0]
