"""Log lines."""

import json
import logging
import time

from app.web.logs import _Json


def test_log_times_are_utc_in_any_local_time_zone(monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        record = logging.LogRecord("x", logging.INFO, "x", 1, "hello", (), None)
        record.created = 1_788_000_000.0
        data = json.loads(_Json().format(record))
    finally:
        monkeypatch.undo()
        time.tzset()
    assert data["at"] == time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(1_788_000_000))
