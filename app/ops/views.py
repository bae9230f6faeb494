import hmac
from collections.abc import Iterator

from flask import Response, jsonify, request
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import ProgrammingError

from app.core.database import DATABASE_AWAY
from app.core.extensions import db, now, settings
from app.core.metrics import GaugeValue, metrics
from app.core.migration_state import schema_state
from app.core.patience import OF_CHECKS, be_patient
from app.core.tokens import is_doctor_token
from app.jobs.notifier import notifier
from app.mail.models import MailStatus
from app.ops import bp
from app.statistics.service import Statistics
from app.unit_of_work import reading
from app.web.access import open_in_maintenance, public
from app.web.current_user import log_refused
from app.web.proxy_headers import is_from_this_machine


@bp.get("/healthz")
@public
@open_in_maintenance
def healthz() -> ResponseReturnValue:
    """Respond with 200 while the process runs. It tells `flask doctor` how it sees the request."""
    if not is_doctor_token(request.args.get("doctor", ""), settings().signing_keys):
        return jsonify(status="ok")
    proxies = len(request.headers.get("X-Forwarded-For", "").split(",")) if "X-Forwarded-For" in request.headers else 0
    prefix = "X-Forwarded-Prefix" in request.headers
    return jsonify(status="ok", address=request.remote_addr, url=request.host_url, proxies=proxies, prefix=prefix)


@bp.get("/readyz")
@public
@open_in_maintenance
def readyz() -> ResponseReturnValue:
    """Respond with 503 without a database, or with a schema behind this code; `degraded` with a newer one, or without a
    queue.

    A newer schema is served, because migrations only add what an older release can do without.
    """
    be_patient(OF_CHECKS)
    database, migrations = schema_state()
    queue = notifier.state()
    can_serve = database == "ok" and migrations in {"ok", "newer"}
    is_whole = migrations == queue == "ok"
    status = "unavailable" if not can_serve else "ok" if is_whole else "degraded"
    return jsonify(status=status, database=database, migrations=migrations, queue=queue), 200 if can_serve else 503


@bp.get("/metrics", endpoint="metrics")
@public
@open_in_maintenance
def show_metrics() -> ResponseReturnValue:
    """Return metrics in Prometheus' text format, for METRICS_TOKEN, or without a token for this machine."""
    token = settings().metrics_token.get_secret_value()
    credential = request.headers.get("Authorization", "")
    if token and not hmac.compare_digest(credential.encode(), f"Bearer {token}".encode()):
        if credential:
            log_refused("metrics_token")
        return Response("Send METRICS_TOKEN as a bearer token.\n", 401, {"WWW-Authenticate": "Bearer"}, "text/plain")
    if not token and not is_from_this_machine():
        return Response(
            "Only available on this machine. Set METRICS_TOKEN to allow other machines.\n", 403, mimetype="text/plain"
        )
    return Response(metrics.text(_gauges()), content_type="text/plain; version=0.0.4; charset=utf-8")


def _gauges() -> Iterator[GaugeValue]:
    """Yield current values of the parts and the queue, for the whole deployment."""
    queue = notifier.state()
    stored: list[GaugeValue] = []
    busy: set[str | None] = set()
    try:
        stored = [*_stored()]
        busy = reading().job_board.busy_workers()
    except (*DATABASE_AWAY, ProgrammingError):
        db.session.rollback()
    yield GaugeValue("gatehouse_info", "What runs here: RELEASE.", {settings().release: 1}, "release")
    parts = {"database": float(bool(stored)), "queue": float(queue == "ok")}
    yield GaugeValue("gatehouse_up", "Whether the part answers (1) or not (0).", parts, "part")
    yield from stored
    workers = notifier.find_workers()
    if workers is not None:
        yield GaugeValue("gatehouse_queue_length", "Notifications that wait for a worker.", notifier.lengths(), "queue")
        alive = workers.list_alive(now(), busy=busy)
        yield GaugeValue("gatehouse_workers", "Worker processes of all machines that live.", {"": len(alive)})
        if workers.last_run_at is not None:
            at = {"": workers.last_run_at.timestamp()}
            yield GaugeValue("gatehouse_schedule_last_round_timestamp_seconds", "When the schedule last ran.", at)


def _stored() -> Iterator[GaugeValue]:
    """Yield values from the database."""
    services = reading()
    waits = services.job_queue.oldest_due().total_seconds()
    yield GaugeValue("gatehouse_oldest_due_job_seconds", "For how long the oldest due job has waited.", {"": waits})
    yield GaugeValue("gatehouse_dead_jobs", "Jobs that failed for good.", {"": services.job_board.count_dead()})
    delayed = services.sent_mails.count(MailStatus.DELAYED)
    yield GaugeValue("gatehouse_delayed_mails", "Mails that are tried again later.", {"": delayed})
    if (backup := services[Statistics].last_backup()) is not None:
        at = {"": backup.timestamp()}
        yield GaugeValue("gatehouse_last_backup_timestamp_seconds", "When `flask backup` last succeeded.", at)
