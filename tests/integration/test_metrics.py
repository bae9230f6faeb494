"""The content of /metrics, and access to it."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from datetime import timedelta

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import select

from app.core.extensions import now
from app.core.metrics import Metrics, metrics
from app.core.settings import ROOT
from app.jobs.models import Job, JobState
from app.jobs.notifier import notifier
from app.jobs.redis_queue import SeenWorker, Workers
from app.jobs.tasks import NoOperation
from app.mail.models import MailStatus
from app.statistics.service import Statistics
from app.unit_of_work import unit_of_work
from tests.support.browser import Browser
from tests.support.mailbox import work_off

HERE = "127.0.0.1"


@pytest.fixture(scope="module", autouse=True)
def _counting(tmp_path_factory):
    metrics.begin(tmp_path_factory.mktemp("metrics"))
    yield
    metrics.__init__()


@pytest.fixture
def value(app):
    """Return the current value of a sample."""

    def read(name, **labels):
        text = Browser(app, address=HERE).get("/metrics").text
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    return sample.value
        return 0

    return read


def test_metrics_without_a_token_are_local_only(app):
    here = Browser(app, address=HERE)
    answer = here.get("/metrics")
    assert answer.status_code == 200
    assert answer.content_type.startswith("text/plain; version=0.0.4")
    assert answer.headers["Cache-Control"] == "no-store"

    assert Browser(app, address="203.0.113.7").get("/metrics").status_code == 403
    for forwarded in ("X-Forwarded-For", "Forwarded", "X-Real-IP"):
        assert here.get("/metrics", headers={forwarded: "203.0.113.7"}).status_code == 403


@pytest.mark.databases("sqlite")
@pytest.mark.settings(metrics_token="a-token-of-metrics-0123456789")
def test_metrics_token_allows_access_from_anywhere(app):
    far = Browser(app, address="203.0.113.7")
    for wrong in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "a-token-of-metrics-0123456789"}):
        refused = far.get("/metrics", headers=wrong)
        assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert Browser(app, address=HERE).get("/metrics").status_code == 401
    right = {"Authorization": "Bearer a-token-of-metrics-0123456789"}
    assert far.get("/metrics", headers=right).status_code == 200


def test_requests_are_counted_by_route_method_and_status(client, value):
    seen = {"method": "GET", "route": "/auth/reset-password/<token>"}
    before = value("gatehouse_http_requests_total", **seen, status="410")
    client.get("/auth/reset-password/" + "x" * 43)
    client.get("/nowhere/at/all")

    assert value("gatehouse_http_requests_total", **seen, status="410") == before + 1
    assert value("gatehouse_http_request_duration_seconds_count", **seen) >= 1
    assert value("gatehouse_http_requests_total", method="GET", route="none", status="404") >= 1
    client.send("BREW", "/")
    assert value("gatehouse_http_requests_total", method="other") >= 1


def test_sign_ins_and_hashes_are_counted(client, ada, value):
    names = {outcome: ("gatehouse_sign_ins_total", {"outcome": outcome}) for outcome in ("success", "wrong_password")}
    before = {outcome: value(name, **labels) for outcome, (name, labels) in names.items()}
    hashes = value("gatehouse_password_hash_seconds_count")
    client.login(ada, "not her password")
    client.login(ada)

    assert {outcome: value(name, **labels) - before[outcome] for outcome, (name, labels) in names.items()} == {
        "success": 1,
        "wrong_password": 1,
    }
    assert value("gatehouse_password_hash_seconds_count") == hashes + 2
    assert value("gatehouse_password_hash_wait_seconds_count") == value("gatehouse_password_hash_seconds_count")
    assert value("gatehouse_audit_events_total", kind="session.started") >= 1


def test_rolled_back_events_are_not_counted(app, value):
    before = value("gatehouse_audit_events_total", kind="test.event")
    with app.app_context():
        with pytest.raises(RuntimeError), unit_of_work() as work:
            work.audit.record("test.event", subject_id=None)
            raise RuntimeError
        assert value("gatehouse_audit_events_total", kind="test.event") == before
        with unit_of_work() as work:
            work.audit.record("test.event", subject_id=None)
    assert value("gatehouse_audit_events_total", kind="test.event") == before + 1


def test_jobs_are_counted_by_task_and_outcome_and_the_oldest_is_timed(app, value, clock):
    with app.app_context(), unit_of_work() as work:
        work.enqueue(NoOperation())
    clock.advance(minutes=2)
    assert value("gatehouse_oldest_due_job_seconds") == 120
    before = value("gatehouse_jobs_total", task="no_operation", outcome="done")
    work_off(app)

    assert value("gatehouse_jobs_total", task="no_operation", outcome="done") == before + 1
    assert value("gatehouse_job_duration_seconds_count", task="no_operation") >= 1
    assert value("gatehouse_oldest_due_job_seconds") == 0


def test_queue_and_dependencies_are_measured_on_scrape(app, value):
    with app.app_context(), unit_of_work() as work:
        work.enqueue(NoOperation())
    assert value("gatehouse_queue_length", queue="default") == 1
    assert value("gatehouse_up", part="database") == value("gatehouse_up", part="queue") == 1
    assert value("gatehouse_database_connections_in_use") >= 0


def test_workers_with_a_heartbeat_or_a_job_are_counted(app, value, clock, monkeypatch):
    def seen(name, minutes):
        return SeenWorker(name, ("default",), clock.now, clock.now - timedelta(minutes=minutes))

    workers = Workers((seen("here:1", 0), seen("killed:1", 3), seen("busy:1", 3), seen("killed-busy:1", 3)), clock.now)
    monkeypatch.setattr("app.jobs.notifier.QueueNotifier.find_workers", lambda self: workers)
    assert value("gatehouse_workers") == 1
    with app.app_context(), unit_of_work() as work:
        for name in ("killed-busy:1", "busy:1"):
            work.job_queue.claim(work.enqueue(NoOperation()), worker=name)
            clock.advance(seconds=1)
        killed = work.session.scalars(select(Job).where(Job.worker == "killed-busy:1")).one()
        killed.lease_until = clock.now - timedelta(seconds=1)
    assert value("gatehouse_workers") == 2


def test_work_for_operators_is_counted(app, value, clock, flask, tmp_path):
    assert value("gatehouse_dead_jobs") == value("gatehouse_delayed_mails") == 0
    assert "gatehouse_last_backup" not in Browser(app, address=HERE).get("/metrics").text
    with app.app_context(), unit_of_work() as work:
        for state in (JobState.DEAD, JobState.DONE):
            work.session.get_one(Job, work.enqueue(NoOperation())).state = state
        for number, status in enumerate((MailStatus.DELAYED, MailStatus.SENT)):
            mail = work.mail_quota.open(
                job_id=number, kind="x", user_id=None, recipient="x@example.com", subject="x", domain="x"
            )
            mail.status = status
        notifier.record_heartbeat(at=now(), interval=2)
    assert value("gatehouse_dead_jobs") == value("gatehouse_delayed_mails") == 1
    assert value("gatehouse_schedule_last_round_timestamp_seconds") == clock.now.timestamp()
    assert flask("backup", str(tmp_path / "backup.zip")).exit_code == 0
    assert value("gatehouse_last_backup_timestamp_seconds") == int(clock.now.timestamp())


@pytest.mark.databases("sqlite")
def test_metrics_are_served_without_database_and_queue(make_app):
    away = make_app(database_url="postgresql://nobody@127.0.0.1:1/none", redis_url="redis://127.0.0.1:1/0")
    text = Browser(away, address=HERE).get("/metrics").text
    assert 'gatehouse_up{part="database"} 0.0' in text
    assert 'gatehouse_up{part="queue"} 0.0' in text
    assert "gatehouse_queue_length{" not in text


@pytest.mark.databases("sqlite")
def test_counts_of_a_dead_process_stay_until_swept(app, value):
    folder = metrics._folder
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    dead = process.pid
    metrics.events(Counter({"test.swept": 2}))
    metrics.connections(0)
    for kind in ("counter", "gauge_livesum"):
        (folder / f"{kind}_{dead}.db").write_bytes((folder / f"{kind}_{os.getpid()}.db").read_bytes())

    assert value("gatehouse_audit_events_total", kind="test.swept") == 4
    assert not (folder / f"gauge_livesum_{dead}.db").exists()
    assert (folder / f"counter_{dead}.db").exists()
    metrics.sweep(metrics._folder)
    assert not (folder / f"counter_{dead}.db").exists()
    assert value("gatehouse_audit_events_total", kind="test.swept") == 2


@pytest.mark.databases("sqlite")
def test_without_a_metrics_folder_the_application_works(tmp_path, caplog, monkeypatch):
    (tmp_path / "file").touch()
    idle = Metrics()
    idle.begin(tmp_path / "file" / "metrics")
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    idle.begin(tmp_path)

    idle.events(Counter({"test.event": 1}))
    assert [record.message for record in caplog.records] == ["requests and jobs are not counted"] * 2


def test_process_that_did_not_initialize_counts_nothing(app, monkeypatch):
    monkeypatch.setattr(metrics, "_folder", None)
    monkeypatch.setattr(metrics, "_defined", None)
    text = Browser(app, address=HERE).get("/metrics").text
    assert "gatehouse_up" in text
    assert "gatehouse_http_requests" not in text


# ── alerts and dashboard in ops/ ──


def used_names(text):
    return set(re.findall(r"\bgatehouse_[a-z_]+", text))


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("file", ["prometheus-alerts.yml", "grafana-dashboard.json"])
def test_alerts_and_dashboard_use_existing_metrics(app, file):
    metrics.job(task="no_operation", outcome="done", seconds=0.1)
    metrics.hashed(waited=0, took=0.1)
    metrics.events(Counter({"session.started": 1}))
    metrics.cached("site", hit=True)
    with app.app_context(), unit_of_work() as work:
        work[Statistics].note_backup()
        notifier.record_heartbeat(at=now(), interval=2)
    browser = Browser(app, address=HERE)
    browser.get("/auth/login")
    text = browser.get("/metrics").text
    defined = set(re.findall(r"^([a-z_]+)[{ ]", text, re.MULTILINE))

    used = used_names((ROOT / "ops" / file).read_text())
    assert used - {"gatehouse"} <= defined
    assert len(used) > 5


def test_each_alert_has_a_summary_and_a_remedy():
    (group,) = yaml.safe_load((ROOT / "ops/prometheus-alerts.yml").read_text())["groups"]
    for rule in group["rules"]:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert set(rule["annotations"]) == {"summary", "description"}
    if promtool := shutil.which("promtool"):
        checked = subprocess.run([promtool, "check", "rules", ROOT / "ops/prometheus-alerts.yml"], capture_output=True)
        assert checked.returncode == 0, checked.stderr


def test_dashboard_shows_every_metric_without_overlap():
    dashboard = json.loads((ROOT / "ops/grafana-dashboard.json").read_text())
    assert dashboard["title"] == "Gatehouse"
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in dashboard["panels"]]
    assert len(set(places)) == len(places)
    shown = used_names(json.dumps(dashboard))
    defined = set(re.findall(r'"(gatehouse_[a-z_]+)"', (ROOT / "app/core/metrics.py").read_text()))
    assert {name for name in defined if not any(expression.startswith(name) for expression in shown)} == set()
