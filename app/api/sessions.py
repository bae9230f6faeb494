"""Endpoints for your own sessions and API keys."""

from datetime import timedelta
from typing import Any

from app.api import bp
from app.api.endpoint import endpoint
from app.api.listing import list_page
from app.api.responses import Answer
from app.api.schemas import ApiKeyIn, PageQuery
from app.api_keys.models import ApiKey
from app.api_keys.service import DEFAULT_DAYS
from app.auth.models import Session
from app.core import errors
from app.core.extensions import now
from app.core.user_agents import device_name
from app.resources import ApiKeyOut, ApiKeysOut, NewApiKeyOut, SessionOut, SessionsOut, plain
from app.unit_of_work import reading, unit_of_work
from app.users.permissions import ACCOUNT_READ, ACCOUNT_WRITE
from app.web import current_user
from app.web.access import by_oneself, confirmed, open_to_keys

_CANNOT_MAKE = (errors.NotAllowed, errors.ScopeNotHeld, errors.TooManyApiKeys, "in_the_past")


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


@bp.get("/v1/api-keys")
@endpoint(ApiKeysOut, query=PageQuery, tag="api-keys", lists=True)
@open_to_keys(ACCOUNT_READ)
def list_api_keys(query: PageQuery) -> dict[str, Any]:
    """List your active API keys, newest first."""
    active, who = reading().api_keys.list_active, current_user.signed_in()
    return list_page(
        query, lambda before, limit: active(who.user_id, before=before, limit=limit), _shown, of={"list": "api-keys"}
    )


@bp.post("/v1/api-keys")
@endpoint(NewApiKeyOut, status=201, body=ApiKeyIn, refuses=_CANNOT_MAKE, tag="api-keys", replays=True)
@confirmed
def make_api_key(body: ApiKeyIn) -> Answer:
    """Create an API key. Only this response contains it, because only a hash is stored."""
    who = current_user.signed_in()
    expires_at = body.expires_at if "expires_at" in body.model_fields_set else now() + timedelta(days=DEFAULT_DAYS)
    if body.expires_at is not None and body.expires_at <= now():
        raise errors.InvalidInput([errors.Problem("expires_at", errors.InThePast.code, errors.InThePast.message)])
    with unit_of_work() as work, errors.at_field("scopes", errors.ScopeNotHeld):
        key, secret = work.api_keys.create_key(who, name=body.name.strip(), scopes=body.scopes, expires_at=expires_at)
    shown = _shown(key)
    return Answer(
        {**shown, "key": secret},
        status=201,
        message="Copy the key now. You won't see it again.",
        again={**shown, "key": None},
    )


@bp.get("/v1/api-keys/<id:key_id>")
@endpoint(ApiKeyOut, refuses=(errors.ApiKeyNotFound,), tag="api-keys")
@open_to_keys(ACCOUNT_READ)
def show_api_key(key_id: int) -> dict[str, Any]:
    """Get one of your active API keys."""
    return _shown(reading().api_keys.get(key_id, by=current_user.signed_in()))


@bp.delete("/v1/api-keys/<id:key_id>")
@endpoint(None, refuses=(errors.ApiKeyNotFound, errors.NotAllowed), tag="api-keys")
@by_oneself
def end_api_key(key_id: int) -> Answer:
    """Revoke an API key."""
    with unit_of_work() as work:
        work.api_keys.revoke_key(key_id, by=current_user.signed_in())
    return Answer(message="API key revoked.")


def _shown(key: ApiKey) -> dict[str, Any]:
    return plain(ApiKeyOut, key)
