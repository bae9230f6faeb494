from datetime import timedelta
from typing import Any

from app.api import bp
from app.api.endpoint import endpoint
from app.api.listing import list_page
from app.api.responses import Answer
from app.api.schemas import PageQuery
from app.api_keys.errors import ApiKeyNotFound, ScopeNotHeld, TooManyApiKeys
from app.api_keys.models import ApiKey
from app.api_keys.schemas import ApiKeyIn, ApiKeyOut, ApiKeysOut, NewApiKeyOut
from app.api_keys.service import DEFAULT_DAYS, ApiKeys
from app.core import errors
from app.core.extensions import now
from app.core.resources import plain
from app.unit_of_work import reading, unit_of_work
from app.users.permissions import ACCOUNT_READ
from app.web import current_user
from app.web.access import by_oneself, confirmed, open_to_keys

_CANNOT_MAKE = (errors.NotAllowed, ScopeNotHeld, TooManyApiKeys, "in_the_past")


@bp.get("/v1/api-keys")
@endpoint(ApiKeysOut, query=PageQuery, tag="api-keys", lists=True)
@open_to_keys(ACCOUNT_READ)
def list_api_keys(query: PageQuery) -> dict[str, Any]:
    """List your active API keys, newest first."""
    active, who = reading()[ApiKeys].list_active, current_user.signed_in()
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
    with unit_of_work() as work, errors.at_field("scopes", ScopeNotHeld):
        key, secret = work[ApiKeys].create_key(who, name=body.name.strip(), scopes=body.scopes, expires_at=expires_at)
    shown = _shown(key)
    return Answer(
        {**shown, "key": secret},
        status=201,
        message="Copy the key now. You won't see it again.",
        again={**shown, "key": None},
    )


@bp.get("/v1/api-keys/<id:key_id>")
@endpoint(ApiKeyOut, refuses=(ApiKeyNotFound,), tag="api-keys")
@open_to_keys(ACCOUNT_READ)
def show_api_key(key_id: int) -> dict[str, Any]:
    """Get one of your active API keys."""
    return _shown(reading()[ApiKeys].get(key_id, by=current_user.signed_in()))


@bp.delete("/v1/api-keys/<id:key_id>")
@endpoint(None, refuses=(ApiKeyNotFound, errors.NotAllowed), tag="api-keys")
@by_oneself
def end_api_key(key_id: int) -> Answer:
    """Revoke an API key."""
    with unit_of_work() as work:
        work[ApiKeys].revoke_key(key_id, by=current_user.signed_in())
    return Answer(message="API key revoked.")


def _shown(key: ApiKey) -> dict[str, Any]:
    return plain(ApiKeyOut, key)
