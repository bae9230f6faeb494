"""Rows as CSV and JSON Lines, one line at a time."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, tzinfo
from itertools import chain
from typing import Any

from flask import Response, stream_with_context

from app.audit.descriptions import sentence
from app.audit.schemas import AuditEventOut
from app.audit.services.search import FoundEvent
from app.core.csv_cells import quoted
from app.core.resources import plain

MARK = "\ufeff"  # Tells Excel that a CSV file is UTF-8.
COLUMNS = tuple(AuditEventOut.model_fields)


def as_dict(event: FoundEvent) -> dict[str, Any]:
    """Return an audit event as plain values."""
    return plain(AuditEventOut, event, sentence=sentence(event.kind, event.values))


def as_json_lines(events: Iterable[FoundEvent]) -> Iterator[str]:
    for event in events:
        yield json.dumps(as_dict(event), ensure_ascii=False, default=datetime.isoformat) + "\n"


def as_csv(events: Iterable[FoundEvent], zone: tzinfo = UTC) -> Iterator[str]:
    """Stream CSV with a header line; times are RFC 3339 with the offset of `zone`."""
    shown = (as_dict(event) | {"at": event.at.astimezone(zone).isoformat()} for event in events)
    return csv_lines(COLUMNS, (values.values() for values in shown))


def csv_lines(columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> Iterator[str]:
    """Yield one line at a time."""
    line = io.StringIO()
    writer = csv.writer(line)
    writer.writerow(columns)
    for row in rows:
        yield line.getvalue()
        line.seek(0)
        line.truncate()
        writer.writerow([cell(value) for value in row])
    yield line.getvalue()


def attachment(lines: Iterable[str], name: str, mimetype: str = "text/csv") -> Response:
    """Stream lines as a file to download; CSV begins with MARK."""
    mark = [MARK] if mimetype == "text/csv" else []
    response = Response(stream_with_context(chain(mark, lines)), mimetype=mimetype)
    response.headers["Content-Disposition"] = f"attachment; filename={name}"
    return response


def cell(value: Any) -> str:
    """Return the text of a cell, never a formula: a spreadsheet formula gets an apostrophe."""
    text = "" if value is None else json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)
    return quoted(text)
