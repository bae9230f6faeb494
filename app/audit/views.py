"""Pages that show, filter and export the audit log."""

from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from flask import Response, url_for
from flask.typing import ResponseReturnValue

from app.admin import bp
from app.audit.services.search import AuditFilter, FoundEvent
from app.core import errors
from app.core.addresses import canonical_address
from app.core.extensions import features, now
from app.unit_of_work import Work, reading, unit_of_work
from app.users.permissions import AUDIT_READ
from app.web.access import requires
from app.web.exports import as_csv, as_json_lines, attachment
from app.web.pages import page
from app.web.query_params import before, day, day_after, paginate, query_text
from app.web.viewer import viewer_zone

ON_A_PAGE = 50
FILTERS = ("actor", "subject", "kind", "since", "until")
NOBODY = 0  # The id of no user.


@bp.get("/audit")
@requires(AUDIT_READ)
def audit() -> ResponseReturnValue:
    query, services, problem = _read_query(), reading(), None
    events: list[FoundEvent] = []
    try:
        events = services.audit_search.page(_parse_filters(query, services), limit=ON_A_PAGE + 1)
    except errors.InvalidPeriod as refusal:
        problem = str(refusal)
    kept: dict[str, Any] = {name: value for name, value in query.items() if value}
    paged = paginate(events, size=ON_A_PAGE, **kept)
    return page(
        "admin/audit.html",
        status=422 if problem else 200,
        problem=problem,
        query=SimpleNamespace(**query),
        is_filtered=bool(kept),
        presets=_presets(query),
        kinds={"": "All events"} | {kind: kind for kind in sorted(features().audit_texts)},
        exports={
            "CSV": url_for("admin.export_audit_csv", **kept),
            "JSON Lines": url_for("admin.export_audit_json_lines", **kept),
        },
        paged=paged,
    )


def _presets(query: dict[str, str]) -> dict[str, str]:
    """Return URLs of the same search in usual periods."""
    today = now().astimezone(viewer_zone()).date()
    kept: dict[str, Any] = {n: value for n, value in query.items() if value and n not in {"since", "until"}}
    return {
        text: url_for("admin.audit", **kept, since=today - timedelta(days=days), until=today)
        for text, days in (("Today", 0), ("Last 7 days", 6))
    }


@bp.get("/audit.csv")
@requires(AUDIT_READ)
def export_audit_csv() -> Response:
    zone = viewer_zone()
    return _export(lambda events: as_csv(events, zone), "audit.csv", "text/csv")


@bp.get("/audit.jsonl")
@requires(AUDIT_READ)
def export_audit_json_lines() -> Response:
    return _export(as_json_lines, "audit.jsonl", "application/jsonl")


def _export(form: Callable[[Iterable[FoundEvent]], Iterator[str]], name: str, mimetype: str) -> Response:
    """Stream events, with constant memory."""
    query = _read_query()
    with unit_of_work() as work:
        filters = {name: value for name, value in query.items() if value}
        work.audit.record("audit.exported", subject_id=None, filters=filters)
    services = reading()
    return attachment(form(services.audit_search.walk(_parse_filters(query, services))), name, mimetype)


def _read_query() -> dict[str, str]:
    """Parse the filters; ignore invalid ones."""
    query = {name: query_text(name) for name in FILTERS}
    if query["kind"] not in features().audit_texts:
        query["kind"] = ""
    for name in ("since", "until"):
        if day(query[name]) is None:
            query[name] = ""
    return query


def _parse_filters(query: dict[str, str], services: Work) -> AuditFilter:
    return AuditFilter(
        actor_id=_user_id(query["actor"], services),
        subject_id=_user_id(query["subject"], services),
        kind=query["kind"] or None,
        since=day(query["since"]),
        until=day_after(query["until"]),
        before=before(),
    )


def _user_id(typed: str, services: Work) -> int | None:
    """Return the ID of the user with this ID or email address, or NOBODY."""
    if not typed:
        return None
    if typed.isascii() and typed.isdigit() and len(typed) <= 18:
        return int(typed)
    try:
        return services.audit_search.find_user_id(canonical_address(typed)) or NOBODY
    except errors.InvalidAddress:
        return NOBODY
