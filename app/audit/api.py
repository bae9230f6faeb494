"""Audit log endpoints."""

from typing import Any

from app.api import bp
from app.api.endpoint import endpoint
from app.api.listing import list_page
from app.audit.schemas import AuditEventsOut, AuditQuery
from app.audit.services.search import AuditFilter
from app.core import errors
from app.unit_of_work import reading
from app.users.permissions import AUDIT_READ
from app.web.access import requires
from app.web.exports import as_dict


@bp.get("/v1/audit-events")
@endpoint(AuditEventsOut, query=AuditQuery, refuses=(errors.InvalidPeriod,), tag="audit", lists=True)
@requires(AUDIT_READ)
def list_audit_events(query: AuditQuery) -> dict[str, Any]:
    """List audit events, newest first."""
    values = query.model_dump(exclude={"limit", "cursor"})
    search = reading().audit_search
    return list_page(
        query,
        lambda before, limit: search.page(AuditFilter(**values, before=before), limit=limit),
        as_dict,
        of={"list": "audit-events", **values},
    )
