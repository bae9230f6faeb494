"""The principal of each kind of credential, read with one query."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import Select, bindparam, select

from app.auth.access_tokens import Access
from app.auth.models import RECOVERY, Authenticator, Session
from app.core.lookups import Lookup, Source
from app.core.principal import Principal
from app.core.tokens import token_hash
from app.users.models import Role, User, user_roles
from app.users.permissions import granted

NEVER = datetime(1970, 1, 1, tzinfo=UTC)


# One Core statement for each request: credential, user and roles. Built once; creates no ORM objects.
USER_COLUMNS = (User.id.label("user_id"), User.name, User.email, User.created_at.label("member_since"))
ROLE_COLUMNS = (Role.name.label("role"), Role.permissions, Role.requires_second_factor)
_ANY_FACTOR = Lookup(
    select(Authenticator.id).where(
        Authenticator.user_id == bindparam("user_id"),
        Authenticator.confirmed_at.is_not(None),
        Authenticator.kind != RECOVERY,
    )
)


def with_roles(query: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    """Add the roles of the user, who can sign in."""
    joined = query.outerjoin(user_roles, user_roles.c.user_id == User.id).outerjoin(
        Role, Role.id == user_roles.c.role_id
    )
    return joined.where(User.is_active, User.email_verified_at.is_not(None))


_SESSION = select(
    Session.id,
    Session.created_at,
    Session.confirmed_at,
    Session.last_seen_at,
    Session.idle_seconds,
    Session.expires_at,
    Session.impersonated_id,
    Session.impersonated_until,
    *USER_COLUMNS,
    *ROLE_COLUMNS,
)
_BY_SESSION = with_roles(_SESSION.join(User, User.id == Session.user_id)).where(Session.ended_at.is_(None))
_OF_TOKEN = _BY_SESSION.where(Session.token_hash == bindparam("token_hash"))
_BY_COOKIE = Lookup(_OF_TOKEN.add_columns(User.time_zone), unmigrated=_OF_TOKEN)
_BY_PREVIOUS_TOKEN = Lookup(
    _BY_SESSION.where(
        Session.previous_token_hash == bindparam("token_hash"), Session.previous_token_until > bindparam("at")
    )
)
_BY_ACCESS_TOKEN = Lookup(_BY_SESSION.where(Session.id == bindparam("session_id"), User.id == bindparam("user_id")))


@dataclass(frozen=True, slots=True)
class Found:
    """The principal of a credential and its last use; the session expires `idle_seconds` after that.

    In a browser, the session's owner may act as the user `acts_as` until a time.
    """

    principal: Principal
    seen_at: datetime | None
    idle_seconds: float = math.inf
    acts_as: int | None = None
    acts_until: datetime | None = None

    def is_noted(self, at: datetime, *, after: float) -> bool:
        """Return whether its use was recorded at most so many seconds ago, or a quarter of `idle_seconds` if less."""
        return self.seen_at is not None and (at - self.seen_at).total_seconds() <= min(after, self.idle_seconds / 4)


@dataclass(frozen=True, slots=True)
class Expired:
    """A session or API key that has expired and is not yet ended in the database."""

    session_id: int = 0
    key_id: int = 0


def find_by_cookie(source: Source, token: str, *, at: datetime) -> Found | Expired | None:
    """Return the principal of the session `token`, or None if it does not exist or was revoked."""
    hashed = token_hash(token)
    rows = _BY_COOKIE.all(source, token_hash=hashed) or _BY_PREVIOUS_TOKEN.all(source, token_hash=hashed, at=at)
    return _check_expiry(source, rows, at, via="cookie")


def find_by_access_token(source: Source, access: Access, *, at: datetime) -> Found | Expired | None:
    """Return the principal of a verified access token; None if its session ended."""
    rows = _BY_ACCESS_TOKEN.all(source, session_id=access.session_id, user_id=access.user_id)
    return _check_expiry(source, rows, at, via="access_token")


def _check_expiry(
    source: Source,
    rows: Sequence[Any],
    at: datetime,
    *,
    via: Literal["cookie", "access_token"],
) -> Found | Expired | None:
    if not rows:
        return None
    first = rows[0]
    if first.expires_at <= at or (at - first.last_seen_at).total_seconds() >= first.idle_seconds:
        return Expired(session_id=first.id)
    principal = Principal(
        **holder_of(rows),
        session_id=first.id,
        authenticated_at=first.created_at,
        confirmed_at=first.confirmed_at,
        via=via,
        lacks_factor=lacks_factor(source, rows),
        time_zone=getattr(first, "time_zone", None),  # Read for browsers only.
    )
    return Found(principal, first.last_seen_at, first.idle_seconds, first.impersonated_id, first.impersonated_until)


def lacks_factor(source: Source, rows: Sequence[Any]) -> bool:
    """Return whether a required second factor is missing; queries only for users whose role requires one."""
    if not any(row.requires_second_factor for row in rows):
        return False
    return _ANY_FACTOR.first(source, user_id=rows[0].user_id) is None


def holder_of(rows: Sequence[Any]) -> dict[str, Any]:
    """Return the user of these rows, with their roles and permissions, as fields of a principal."""
    first, held = rows[0], [row for row in rows if row.role is not None]
    return {
        "user_id": first.user_id,
        "name": first.name,
        "email": first.email,
        "member_since": first.member_since,
        "roles": tuple(sorted(row.role for row in held)),
        "permissions": frozenset().union(*(granted(row.permissions) for row in held)),
    }
