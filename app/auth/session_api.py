"""Endpoints for your own sessions."""

from typing import Any

from app.api import bp
from app.api.endpoint import endpoint
from app.api.listing import list_page
from app.api.responses import Answer
from app.api.schemas import PageQuery
from app.auth.models import Session
from app.auth.schemas import SessionOut, SessionsOut
from app.core import errors
from app.core.resources import plain
from app.core.user_agents import device_name
from app.unit_of_work import reading, unit_of_work
from app.users.permissions import ACCOUNT_READ, ACCOUNT_WRITE
from app.web import current_user
from app.web.access import confirmed, open_to_keys


@bp.get("/v1/sessions")
@endpoint(SessionsOut, query=PageQuery, tag="sessions", lists=True)
@open_to_keys(ACCOUNT_READ)
def list_sessions(query: PageQuery) -> dict[str, Any]:
    """List your active sessions, newest first."""
    who = current_user.signed_in()
    live = sorted(reading().sessions.list_live(who.user_id), key=lambda row: row.id, reverse=True)

    def shown(row: Session) -> dict[str, Any]:
        return plain(SessionOut, row, device=device_name(row.user_agent), is_current=row.id == who.session_id)

    return list_page(
        query, lambda before, _: [row for row in live if not before or row.id < before], shown, of={"list": "sessions"}
    )


@bp.delete("/v1/sessions/<id:session_id>")
@endpoint(None, refuses=(errors.SessionNotFound,), tag="sessions")
@open_to_keys(ACCOUNT_WRITE)
@confirmed
def end_session(session_id: int) -> Answer:
    """End one of your sessions. Revokes its tokens immediately."""
    with unit_of_work() as work:
        work.sessions.revoke(session_id, user_id=current_user.signed_in().user_id, reason="ended_by_owner")
    return Answer(message="Session ended.")
