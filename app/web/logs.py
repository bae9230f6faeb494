"""Logs on standard error, as JSON or text, without secrets."""

import json
import logging
import sys
import time
from typing import Any

from flask import g, has_app_context

from app.core.settings import CoreSettings

FIELDS = (
    "request_id",
    "method",
    "route",
    "status",
    "code",
    "duration_ms",
    "user_id",
    "address",
    "endpoint",
    "reason",
    "job_id",
    "kind",
    "key_prefix",
    "host",
    "processes",
    "release",
)
OF_EVERY_RECORD = {*vars(logging.LogRecord("", 0, "", 0, "", (), None)), "asctime", "message", "taskName"}


class _RequestId(logging.Filter):
    """Adds the id of the request or job to every line."""

    def filter(self, record: logging.LogRecord) -> bool:
        if not hasattr(record, "request_id"):
            record.request_id = g.get("request_id") if has_app_context() else None
        return True


class _Console(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            name: getattr(record, name) for name in FIELDS if getattr(record, name, None) is not None
        }
        if record.name == "app.requests":
            text = f"{entry.get('method')} {entry.get('route')} {entry.get('status')} {entry.get('duration_ms')} ms"
            return f"{self.formatTime(record, '%H:%M:%S')} {text}"
        extra = " ".join(f"{name}={value}" for name, value in entry.items() if name != "request_id")
        # A line break in a value must not look like a second line.
        return super().format(record) + (f" ({extra})" if extra else "")


class _Json(logging.Formatter):
    """One JSON object per line: time, level, logger, message, stack trace if any, and the values passed as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exc_info"] = self.formatException(record.exc_info)
        entry |= {name: value for name, value in vars(record).items() if name not in OF_EVERY_RECORD}
        return json.dumps(entry, default=str)


def init_logs(settings: CoreSettings) -> None:
    """Configure logging to standard error, once for each process."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_RequestId())
    handler.setFormatter(
        _Json() if settings.logs_json else _Console("%(asctime)s %(levelname)s %(name)s: %(message)s", "%H:%M:%S")
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level)
    for talkative in ("rq.worker", "rq", "flask-limiter", "alembic", "werkzeug"):
        logging.getLogger(talkative).setLevel(max(logging.WARNING, root.level))
