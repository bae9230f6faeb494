"""Secrets never appear in error reports, traces, logs, metrics, audit rows, jobs or Valkey."""

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import brotli
import pytest
from sqlalchemy import select

from app.audit.models import AuditDetail, AuditEvent
from app.jobs.models import Job
from app.mail.models import SentMail
from tests.faults.caller import Caller
from tests.support.databases import SIGNING_KEY
from tests.support.deployment import task_of, until

pytestmark = pytest.mark.slow

TROUBLED = "tests.faults.troubled_app"
ADA = "ada@example.com"
PASSWORD = "canary password of ada"
WRONG = "canary password that is wrong"
NEW = "canary password for later"
DECODERS = {"br": brotli.decompress, "gzip": gzip.decompress}
METRICS_TOKEN = "canary-token-of-the-metrics"


class Sentry:
    """A server for the SDK's envelopes, which keeps their items by type."""

    def __init__(self):
        items = self.items = []

        class Taking(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                lines = DECODERS[self.headers["Content-Encoding"]](body).split(b"\n")
                for head, item in zip(lines[1::2], lines[2::2], strict=False):
                    items.append((json.loads(head)["type"], item.decode()))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Taking)
        self.dsn = f"http://key@127.0.0.1:{self._server.server_port}/1"
        threading.Thread(target=self._server.serve_forever).start()

    def of(self, kind):
        return [json.loads(item) for item_kind, item in list(self.items) if item_kind == kind]

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def sentry():
    server = Sentry()
    yield server
    server.close()


def test_secrets_never_appear_in_reports_traces_logs_metrics_audit_jobs_or_valkey(build, smtp_server, sentry):
    deployment = build(
        sentry_dsn=sentry.dsn,
        sentry_traces_sample_rate="1",
        release="1.2.3",
        log_level="INFO",
        metrics_token=METRICS_TOKEN,
    )
    deployment.valkey.start()
    deployment.start_web(application=TROUBLED)
    deployment.start_worker(application=TROUBLED, schedule=True)
    ada = deployment.add_user(ADA, name="Ada", password=PASSWORD)

    visitor = Caller(deployment.url)
    assert visitor.login(ADA, WRONG).status == 422
    assert visitor.login(ADA, PASSWORD).status == 302
    secrets = {PASSWORD, WRONG, NEW, METRICS_TOKEN, SIGNING_KEY, *visitor.cookies()}
    secrets |= break_pages(visitor, *secrets)
    assert visitor.post("/auth/forgot-password", email=ADA).status in {302, 303}
    link = smtp_server.next_arrival().link
    secrets.add(link.rpartition("/")[2])
    visitor.get(link.removeprefix(deployment.app.extensions["settings"].public_url))
    signed_in = visitor.ask("POST", "/api/v1/auth/login", {"email": ADA, "password": PASSWORD}).data
    secrets |= {signed_in["access_token"], signed_in["refresh_token"]}
    bearer = f"Bearer {signed_in['access_token']}"
    visitor.ask("GET", "/broken/x", Authorization=bearer)
    key = visitor.ask("POST", "/api/v1/api-keys", {"name": "Key", "scopes": []}, Authorization=bearer).data["key"]
    secrets.add(key)
    with deployment.work() as work:
        broken = work.enqueue(task_of("break", max_attempts=1))
    visitor.ask("GET", "/api/v1/auth/me", Authorization=f"Bearer {key}")
    until(lambda: deployment.job(broken).finished_at)
    assert deployment.start("command", "--app", TROUBLED, "break", "canary-argument").wait() == 1
    secrets.add("canary-argument")
    until(lambda: {"a page", "a job", "a command"} <= broken_parts(sentry), why=lambda: str(sentry.items)[-3000:])
    until(lambda: any(transaction["transaction"] == "break" for transaction in sentry.of("transaction")))
    numbers = visitor.ask("GET", "/metrics", Authorization=f"Bearer {METRICS_TOKEN}")
    assert numbers.status == 200
    deployment.stop()

    places = {
        "Sentry": str(sentry.items),
        "the logs": deployment.told(),
        "the metrics": numbers.text,
        "the database": kept(deployment),
        "Valkey": stored(deployment.app.extensions["queue"]),
    }
    assert all(places.values())
    leaks = {place: secret for place, text in places.items() for secret in secrets if secret in text}
    assert leaks == {}
    check_reports(sentry, ada)


def check_reports(sentry, ada):
    """Check that reports contain the place, the request, the user and the release."""
    page = next(event for event in sentry.of("event") if "a page" in str(event.get("exception")))
    assert page["release"] == "1.2.3"
    assert page["request"] == {"method": "POST", "url": "/broken/<token>"}
    assert page["user"] == {"id": str(ada)}
    assert page["tags"]["request_id"]
    assert {"/broken/<token>", "/auth/login", "break"} <= {event["transaction"] for event in sentry.of("transaction")}


def break_pages(visitor, *secrets):
    """Request a page that fails on a form full of secrets; return more of them."""
    token = visitor.token("/auth/forgot-password")
    fields = {f"field{number}": secret for number, secret in enumerate(secrets)}
    assert visitor.send("/broken/canary-in-the-path?code=canary-in-the-query", csrf_token=token, **fields).status == 500
    return {token, "canary-in-the-path", "canary-in-the-query"}


def broken_parts(sentry):
    """Return the messages of parts that failed."""
    return {
        raised["value"].partition(" is broken")[0]
        for event in sentry.of("event")
        for raised in event.get("exception", {"values": []})["values"]
    }


def kept(deployment):
    with deployment.read() as work:
        rows = [work.session.scalars(select(kind)).all() for kind in (AuditEvent, AuditDetail, Job, SentMail)]
    return str([vars(row) for some_rows in rows for row in some_rows])


def stored(connection):
    """Return all keys and values."""
    readers = {
        b"string": connection.get,
        b"hash": connection.hgetall,
        b"list": lambda key: connection.lrange(key, 0, -1),
        b"set": connection.smembers,
        b"zset": lambda key: connection.zrange(key, 0, -1),
    }
    return str([(key, readers[connection.type(key)](key)) for key in connection.scan_iter()])
