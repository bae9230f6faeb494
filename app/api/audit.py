"""Audit log endpoints."""

from typing import Any

from app import errors
from app.api import bp
from app.api.endpoint import endpoint
from app.api.schemas import AuditEventsOut, AuditQuery
from app.services.audit_search import AuditFilter
from app.services.permissions import AUDIT_READ
from app.services.user_search import Position
from app.unit_of_work import reading
from app.web.access import requires
from app.web.cursors import read_cursor, write_cursor
from app.web.exports import as_dict


@bp.get("/v1/audit-events")
@endpoint(AuditEventsOut, query=AuditQuery, refuses=(errors.InvalidPeriod,), tag="audit", lists=True)
@requires(AUDIT_READ)
def list_audit_events(query: AuditQuery) -> dict[str, Any]:
    """List audit events, newest first."""
    values = query.model_dump(exclude={"limit", "cursor"})
    after = read_cursor(query.cursor, of={"list": "audit-events", **values})
    filters = AuditFilter(**values, before=after.id if after else None)
    events = reading().audit_search.page(filters, limit=query.limit + 1)
    page = events[: query.limit]
    following = Position(None, page[-1].id) if len(events) > query.limit else None
    items = [as_dict(event) | {"at": event.at} for event in page]
    return {"items": items, "next": write_cursor(following, of={"list": "audit-events", **values})}
