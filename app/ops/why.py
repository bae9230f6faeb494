"""`flask why`: the reason for a response, from the log and the audit log."""

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, TextIO

import click
from flask.cli import with_appcontext

from app.audit.services.search import AuditFilter
from app.core import errors
from app.unit_of_work import reading
from app.web.command_output import json_option, print_json
from app.web.errors import API_WORDS
from app.web.exports import as_dict

AROUND = timedelta(minutes=10)
WITHOUT_A_LOG = timedelta(days=1)
USUAL = {"at", "level", "logger", "message", "request_id"}


@click.command()
@click.argument("request_id")
@click.option(
    "--log",
    "lines",
    type=click.File(encoding="utf-8", errors="replace"),
    help="The log, with one JSON object on each line. - is standard input. Default: the audit log of the last day.",
)
@json_option
@with_appcontext
def why(request_id: str, lines: TextIO | None, as_json: bool) -> None:
    """Explain why a request was refused.

    REQUEST_ID is the reference on the error page, or the X-Request-ID header.
    """
    logged = [*_logged(lines, request_id)] if lines else []
    events = [*_events(request_id, logged)]
    if as_json:
        print_json({"log": logged, "events": events, "codes": _codes(logged)})
    else:
        for line in [*map(_as_text, logged), *map(_event_as_text, events)]:
            click.echo(line)
        for code, meaning in _codes(logged).items():
            click.echo(f"{code}: {meaning}")
    if not logged and not events:
        click.echo(f"Error: No log lines or audit events for request {request_id}.", err=True)
        sys.exit(1)


def _logged(lines: TextIO, request_id: str) -> Iterator[dict[str, Any]]:
    for line in lines:
        if request_id not in line:
            continue
        try:
            # Log collectors may add a prefix.
            entry = json.loads(line[line.index("{") :])
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("request_id") == request_id:
            yield entry


def _events(request_id: str, logged: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Return the audit events of the request, oldest first."""
    try:
        at = datetime.fromisoformat(str(logged[0].get("at"))).astimezone(UTC)
        filters = AuditFilter(since=at - AROUND, until=at + AROUND)
    except (IndexError, ValueError):
        filters = AuditFilter(since=datetime.now(UTC) - WITHOUT_A_LOG)
    events = [event for event in reading().audit_search.walk(filters) if event.request_id == request_id]
    yield from map(as_dict, reversed(events))


def _codes(logged: list[dict[str, Any]]) -> dict[str, str]:
    """Return the meanings of the codes in the log."""
    messages = {kind.code: kind.message for kind in _refusals(errors.AccountError)}
    messages |= dict(API_WORDS.values())
    return {str(line["code"]): messages.get(line["code"], "") for line in logged if line.get("code")}


def _refusals(kind: type[errors.AccountError]) -> Iterator[type[errors.AccountError]]:
    yield kind
    for subclass in kind.__subclasses__():
        yield from _refusals(subclass)


def _as_text(line: dict[str, Any]) -> str:
    more = " ".join(f"{name}={value}" for name, value in line.items() if name not in USUAL and value is not None)
    # The last line of a stack trace names the exception.
    return f"{line.get('at')}  {line.get('message')}  {' '.join(more.splitlines()[-1:])}"


def _event_as_text(event: dict[str, Any]) -> str:
    return f"{event['at']}  {event['kind']}  {event['actor'] or '-'} > {event['subject'] or '-'}  {event['sentence']}"
