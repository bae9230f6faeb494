"""Error reports and traces to Sentry, loaded only where SENTRY_DSN is set."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import sentry_sdk
from flask import Flask, g, has_app_context, has_request_context, request
from sentry_sdk.integrations.atexit import AtexitIntegration
from sentry_sdk.integrations.dedupe import DedupeIntegration
from sentry_sdk.integrations.excepthook import ExcepthookIntegration
from sentry_sdk.integrations.flask import FlaskIntegration
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.integrations.sqlalchemy import SqlalchemyIntegration

from app.core import errors
from app.core.settings import CoreSettings

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint

# The messages of these hold values of columns.
DRIVERS = ("sqlalchemy", "psycopg", "sqlite3")


def init_sentry(app: Flask, settings: CoreSettings) -> None:
    """Report logged errors and failed commands, with traces according to SENTRY_TRACES_SAMPLE_RATE.

    Reports have no local variables, bodies, cookies, headers, query strings, addresses or paths (which can contain one-
    time tokens), so that no secret is sent. The library's default integrations are off, because they report the
    arguments of commands.
    """
    sentry_sdk.init(
        dsn=settings.sentry_dsn.get_secret_value(),
        environment=settings.environment,
        release=settings.release or None,
        default_integrations=False,
        auto_enabling_integrations=False,
        integrations=[
            AtexitIntegration(lambda *_: None),
            DedupeIntegration(),
            ExcepthookIntegration(),
            FlaskIntegration(transaction_style="url"),
            LoggingIntegration(level=logging.WARNING, event_level=logging.ERROR),
            SqlalchemyIntegration(),
        ],
        data_collection={
            "user_info": False,
            "cookies": {"mode": "off"},
            "http_headers": {"request": {"mode": "off"}},
            "http_bodies": [],
            "url_query_params": {"mode": "off"},
            "database_query_data": False,
            "queues": False,
            "stack_frame_variables": False,
        },
        traces_sample_rate=settings.sentry_traces_sample_rate,
        before_send=_reduced,
        before_send_transaction=_reduced,
    )
    app.extensions["around_job"] = _around_job


@contextmanager
def _around_job(task: str) -> Iterator[None]:
    """Trace one attempt of a job."""
    with sentry_sdk.isolation_scope(), sentry_sdk.start_transaction(op="queue.task", name=task):
        yield


def _reduced(event: Event, hint: Hint) -> Event | None:
    if "exc_info" in hint and hint["exc_info"][0] is errors.JobFailed:
        return None  # What failed was reported before; this only tells RQ.
    event.pop("request", None)
    if has_request_context():
        rule = request.url_rule
        event["request"] = {"method": request.method, "url": rule.rule if rule is not None else ""}
    if has_app_context():
        event["tags"] = {**dict(event.get("tags") or {}), "request_id": g.get("request_id") or ""}
        user_id = getattr(g.get("_login_user"), "user_id", None)
        event["user"] = {"id": str(user_id)} if user_id else {}
    exceptions: list[dict[str, Any]] = (event.get("exception") or {}).get("values") or []
    for raised in exceptions:
        if str(raised.get("module")).partition(".")[0] in DRIVERS:
            raised["value"] = ""
    return event
