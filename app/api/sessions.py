"""Endpoints for your own sessions and API keys."""

from datetime import timedelta

from app import errors
from app.api import bp
from app.api.endpoint import endpoint
from app.api.responses import Answer
from app.api.schemas import (
    ApiKeyIn,
    ApiKeyOut,
    ApiKeysOut,
    NewApiKeyOut,
    PageQuery,
    SessionOut,
    SessionsOut,
)
from app.extensions import now
from app.models import Session
from app.services.api_keys import DEFAULT_DAYS
from app.services.permissions import ACCOUNT_READ, ACCOUNT_WRITE
from app.services.user_search import Position
from app.unit_of_work import reading, unit_of_work
from app.user_agents import device_name
from app.web import current_user
from app.web.access import by_oneself, confirmed, open_to_keys
from app.web.cursors import read_cursor, write_cursor

_CANNOT_MAKE = (errors.NotAllowed, errors.ScopeNotHeld, errors.TooManyApiKeys, "in_the_past")
SESSIONS, KEYS = {"list": "sessions"}, {"list": "api-keys"}


@bp.get("/v1/sessions")
@endpoint(SessionsOut, query=PageQuery, tag="sessions", lists=True)
@open_to_keys(ACCOUNT_READ)
def list_sessions(query: PageQuery) -> SessionsOut:
    """List your active sessions, newest first."""
    who = current_user.signed_in()
    after = read_cursor(query.cursor, of=SESSIONS)
    live = sorted(reading().sessions.list_live(who.user_id), key=lambda row: row.id, reverse=True)
    rest = [row for row in live if after is None or row.id < after.id]
    page = rest[: query.limit]
    following = Position(None, page[-1].id) if len(rest) > query.limit else None
    return SessionsOut(
        items=[_shown(row, current_id=who.session_id) for row in page], next=write_cursor(following, of=SESSIONS)
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
def list_api_keys(query: PageQuery) -> ApiKeysOut:
    """List your active API keys, newest first."""
    after = read_cursor(query.cursor, of=KEYS)
    keys = reading().api_keys.list_active(
        current_user.signed_in().user_id, before=after.id if after else None, limit=query.limit + 1
    )
    page = keys[: query.limit]
    following = Position(None, page[-1].id) if len(keys) > query.limit else None
    return ApiKeysOut(items=[ApiKeyOut.model_validate(key) for key in page], next=write_cursor(following, of=KEYS))


@bp.post("/v1/api-keys")
@endpoint(NewApiKeyOut, status=201, body=ApiKeyIn, refuses=_CANNOT_MAKE, tag="api-keys", replays=True)
@confirmed
def make_api_key(body: ApiKeyIn) -> Answer:
    """Create an API key. Only this response contains it, because only a hash is stored."""
    who = current_user.signed_in()
    expires_at = body.expires_at if "expires_at" in body.model_fields_set else now() + timedelta(days=DEFAULT_DAYS)
    if body.expires_at is not None and body.expires_at <= now():
        raise errors.InvalidInput([errors.Problem("expires_at", errors.InThePast.code, errors.InThePast.message)])
    with unit_of_work() as work:
        try:
            key, secret = work.api_keys.create_key(
                who, name=body.name.strip(), scopes=body.scopes, expires_at=expires_at
            )
        except errors.ScopeNotHeld as refusal:
            raise errors.InvalidInput([errors.Problem("scopes", refusal.code, str(refusal))]) from None
    shown = ApiKeyOut.model_validate(key).model_dump()
    return Answer(
        {**shown, "key": secret},
        status=201,
        message="Copy the key now. You won't see it again.",
        again={**shown, "key": None},
    )


@bp.get("/v1/api-keys/<id:key_id>")
@endpoint(ApiKeyOut, refuses=(errors.ApiKeyNotFound,), tag="api-keys")
@open_to_keys(ACCOUNT_READ)
def show_api_key(key_id: int) -> ApiKeyOut:
    """Get one of your active API keys."""
    return ApiKeyOut.model_validate(reading().api_keys.get(key_id, by=current_user.signed_in()))


@bp.delete("/v1/api-keys/<id:key_id>")
@endpoint(None, refuses=(errors.ApiKeyNotFound, errors.NotAllowed), tag="api-keys")
@by_oneself
def end_api_key(key_id: int) -> Answer:
    """Revoke an API key."""
    with unit_of_work() as work:
        work.api_keys.revoke_key(key_id, by=current_user.signed_in())
    return Answer(message="API key revoked.")


def _shown(row: Session, *, current_id: int) -> SessionOut:
    return SessionOut(
        id=row.id,
        device=device_name(row.user_agent),
        address=row.address,
        created_at=row.created_at,
        last_seen_at=row.last_seen_at,
        is_current=row.id == current_id,
    )
