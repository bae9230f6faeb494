"""API keys as credentials of requests, and what recovery does with them."""

from datetime import datetime

from sqlalchemy import bindparam, select

from app.api_keys.keys import PREFIX, is_api_key, shown_part
from app.api_keys.models import ApiKey
from app.api_keys.service import ApiKeys
from app.auth.access import AccessKind, CredentialKind, Words
from app.auth.models import Target
from app.auth.services.principals import (
    NEVER,
    ROLE_COLUMNS,
    USER_COLUMNS,
    Expired,
    Found,
    holder_of,
    lacks_factor,
    with_roles,
)
from app.core.lookups import Lookup, Source
from app.core.principal import Principal
from app.core.service import Services
from app.core.tokens import token_hash
from app.users.models import User
from app.users.permissions import ACCOUNT_SCOPES

_KEY = (ApiKey.id, ApiKey.prefix, ApiKey.created_at, ApiKey.last_used_at, ApiKey.expires_at, ApiKey.scopes)
_BY_API_KEY = Lookup(
    with_roles(select(*_KEY, *USER_COLUMNS, *ROLE_COLUMNS).join(User, User.id == ApiKey.user_id)).where(
        ApiKey.key_hash == bindparam("key_hash"), ApiKey.ended_at.is_(None)
    )
)


def find_by_api_key(source: Source, key: str, at: datetime) -> Found | Expired | None:
    """Return the principal of an API key, limited to the key's scopes, or None if it does not exist or was revoked.

    It never counts as confirmed, because it proves no identity.
    """
    rows = _BY_API_KEY.all(source, key_hash=token_hash(key))
    if not rows:
        return None
    first = rows[0]
    if first.expires_at is not None and first.expires_at <= at:
        return Expired(key_id=first.id)
    holder = holder_of(rows)
    holder["permissions"] = (holder["permissions"] | ACCOUNT_SCOPES.keys()) & frozenset(first.scopes)
    principal = Principal(
        **holder,
        session_id=0,
        authenticated_at=first.created_at,
        confirmed_at=NEVER,
        via="api_key",
        key_id=first.id,
        key_prefix=first.prefix,
        lacks_factor=lacks_factor(source, rows),
    )
    return Found(principal, first.last_used_at)


def _expire(services: Services, key_id: int) -> None:
    services[ApiKeys].expire(key_id)


def _revoke_all(services: Services, user_id: int, reason: str) -> None:
    services[ApiKeys].revoke_all(user_id, reason=reason)


def _undo(services: Services, user_id: int, key_id: int) -> None:
    services[ApiKeys].undo(user_id, key_id)


CREDENTIAL = CredentialKind(
    kind="api_key",
    prefix=PREFIX,
    is_valid=is_api_key,
    shown_part=shown_part,
    find=find_by_api_key,
    expire=_expire,
    last_used=ApiKey.last_used_at,
)
ACCESS = AccessKind(
    target=Target.API_KEY,
    words=Words("API key", "An API key", "Revoke API key", "API key revoked."),
    undo=_undo,
    revoke_all=_revoke_all,
)
