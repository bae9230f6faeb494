"""Sessions: one row for each sign-in; revoking it revokes everything that depends on it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Select, bindparam, delete, insert, select, update

from app.api_keys.models import ApiKey
from app.audit.services.log import AuditLog
from app.auth.access_tokens import Access
from app.auth.models import Authenticator, Device, Factor, Session
from app.core import errors
from app.core.dialects import rowcount, upsert
from app.core.lifetimes import Lifetimes
from app.core.lookups import Lookup, Source
from app.core.principal import Principal, Visit
from app.core.service import Service
from app.core.tokens import new_token, token_hash
from app.users.models import Role, User, user_roles
from app.users.permissions import ACCOUNT_SCOPES, USERS_IMPERSONATE, granted

SIGNED_OUT = "signed_out"
# For requests that were on their way when the token was replaced.
PREVIOUS_TOKEN_SECONDS = 30
NEVER = datetime(1970, 1, 1, tzinfo=UTC)


class Sessions(Service):
    audit: AuditLog
    lifetimes: Lifetimes

    def start(
        self,
        user_id: int,
        *,
        visit: Visit,
        remember: bool,
        is_confirmed: bool = True,
        factor_added_at: datetime | None = None,
    ) -> tuple[int, str]:
        """Create a session; return its ID and its token, which is not stored.

        One that is not `is_confirmed`, because a second factor was skipped, has to be confirmed before anything
        sensitive. `factor_added_at` is when the factor that was shown was added. Beyond `sessions_per_user` active
        ones, the least recently seen end.
        """
        self._make_room(user_id)
        token, now, lives = new_token(), self.clock(), self.lifetimes
        if remember:
            idle, absolute = timedelta(days=lives.remember_idle_days), timedelta(days=lives.remember_absolute_days)
        else:
            idle = timedelta(minutes=lives.session_idle_minutes)
            absolute = timedelta(hours=lives.session_absolute_hours)
        session_id: int = self.session.execute(
            insert(Session).returning(Session.id),
            {
                "user_id": user_id,
                "token_hash": token_hash(token),
                "address": visit.address,
                "user_agent": visit.user_agent,
                "remembered": remember,
                "created_at": now,
                "last_seen_at": now,
                "confirmed_at": now if is_confirmed else NEVER,
                "factor_added_at": factor_added_at,
                "idle_seconds": int(idle.total_seconds()),
                "expires_at": now + absolute,
            },
        ).scalar_one()
        return session_id, token

    def _make_room(self, user_id: int) -> None:
        now = self.clock()
        too_many = (
            select(Session.id)
            .where(Session.user_id == user_id, Session.ended_at.is_(None), Session.expires_at > now)
            .order_by(Session.last_seen_at.desc(), Session.id.desc())
            .offset(self.lifetimes.sessions_per_user - 1)
        )
        for session_id in self.session.scalars(too_many).all():
            self.revoke(session_id, user_id=user_id, reason="too_many")

    def expire(self, session_id: int) -> None:
        """Revoke an expired session, so that it stays invalid if the clock is set back."""
        over = update(Session).where(Session.id == session_id, Session.ended_at.is_(None))
        self.session.execute(over.values(ended_at=self.clock(), end_reason="expired"))

    def confirm(self, principal: Principal, *, factor_added_at: datetime | None = None) -> str:
        """Record that the owner has confirmed their identity, with the factor added at that time if it was one.

        Replaces the token. Raises SessionNotFound.
        """
        factor = {"factor_added_at": factor_added_at} if factor_added_at else {}
        token = self.replace_token(principal, confirmed_at=self.clock(), **factor)
        self.audit.record("session.confirmed", subject_id=principal.user_id)
        return token

    def replace_token(self, principal: Principal, **values: datetime) -> str:
        """Replace the token of a session together with these columns. Raises SessionNotFound."""
        token = new_token()
        row = update(Session).where(Session.id == principal.session_id, Session.ended_at.is_(None))
        changes = {"token_hash": token_hash(token), "previous_token_hash": None, **values}
        if rowcount(self.session, row.values(changes)) != 1:
            raise errors.SessionNotFound
        return token

    def renew_token(self, session_id: int, token: str) -> str | None:
        """Replace `token`, which works for 30 more seconds; return None if another request has replaced it."""
        renewed, previous = new_token(), token_hash(token)
        row = update(Session).where(Session.id == session_id, Session.token_hash == previous)
        until = self.clock() + timedelta(seconds=PREVIOUS_TOKEN_SECONDS)
        changes = {"token_hash": token_hash(renewed), "previous_token_hash": previous, "previous_token_until": until}
        return renewed if rowcount(self.session, row.values(changes)) else None

    def list_live(self, user_id: int) -> list[Session]:
        """Return active sessions of a user, newest first; at most `sessions_per_user`."""
        now = self.clock()
        query = select(Session).where(Session.user_id == user_id, Session.ended_at.is_(None), Session.expires_at > now)
        return [row for row in self.session.scalars(query.order_by(Session.id.desc())) if row.is_live(now)]

    def revoke(self, session_id: int, *, user_id: int, reason: str) -> None:
        """Revoke one session of `user_id`. Raises SessionNotFound for another user's or a revoked one."""
        ended = rowcount(
            self.session,
            update(Session)
            .where(Session.id == session_id, Session.user_id == user_id, Session.ended_at.is_(None))
            .values(ended_at=self.clock(), end_reason=reason),
        )
        if ended != 1:
            raise errors.SessionNotFound
        kind = "session.signed_out" if reason == SIGNED_OUT else "session.ended"
        self.audit.record(kind, subject_id=user_id, session_id=session_id, reason=reason)

    def replace(self, principal: Principal) -> None:
        """Revoke the earlier session of a browser that signs in again; it may already have ended."""
        try:
            self.revoke(principal.session_id, user_id=principal.account_id, reason="signed_in_again")
        except errors.SessionNotFound:
            return

    def revoke_all(self, user_id: int, *, reason: str, keep: int | None = None) -> int:
        """End every session of `user_id` but `keep`; returns how many."""
        query = update(Session).where(Session.user_id == user_id, Session.ended_at.is_(None))
        if keep is not None:
            query = query.where(Session.id != keep)
        ended = rowcount(self.session, query.values(ended_at=self.clock(), end_reason=reason))
        if ended:
            self.audit.record("session.ended_all", subject_id=user_id, reason=reason, count=ended)
        return ended

    # ── browsers that signed in before ──

    def find_device(self, user_id: int, token: str | None) -> Device | None:
        if token is None:
            return None
        return self.session.scalar(
            select(Device).where(Device.user_id == user_id, Device.token_hash == token_hash(token))
        )

    def has_devices(self, user_id: int) -> bool:
        return self.session.scalar(select(Device.id).where(Device.user_id == user_id).limit(1)) is not None

    def forget_devices(self, user_id: int) -> None:
        """Forget all known browsers of `user_id`."""
        self.session.execute(delete(Device).where(Device.user_id == user_id))

    def remember_device(self, user_id: int, token: str) -> None:
        """Record that this browser is used for this account, when its cookie is set."""
        now = self.clock()
        row = upsert(self.session, Device).values(
            user_id=user_id, token_hash=token_hash(token), created_at=now, last_seen_at=now
        )
        key = [Device.user_id, Device.token_hash]
        self.session.execute(row.on_conflict_do_update(index_elements=key, set_={"last_seen_at": now}))


# One Core statement for each request: credential, user and roles. Built once; creates no ORM objects.
_USER = (User.id.label("user_id"), User.name, User.email, User.created_at.label("member_since"))
_ROLE = (Role.name.label("role"), Role.permissions, Role.requires_second_factor)
_ANY_FACTOR = Lookup(
    select(Authenticator.id).where(
        Authenticator.user_id == bindparam("user_id"),
        Authenticator.confirmed_at.is_not(None),
        Authenticator.kind != Factor.RECOVERY,
    )
)


def _with_roles(query: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
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
    *_USER,
    *_ROLE,
)
_BY_SESSION = _with_roles(_SESSION.join(User, User.id == Session.user_id)).where(Session.ended_at.is_(None))
_BY_USER = Lookup(_with_roles(select(*_USER, *_ROLE).select_from(User)).where(User.id == bindparam("user_id")))
_OF_TOKEN = _BY_SESSION.where(Session.token_hash == bindparam("token_hash"))
_BY_COOKIE = Lookup(_OF_TOKEN.add_columns(User.time_zone), unmigrated=_OF_TOKEN)
_BY_PREVIOUS_TOKEN = Lookup(
    _BY_SESSION.where(
        Session.previous_token_hash == bindparam("token_hash"), Session.previous_token_until > bindparam("at")
    )
)
_BY_ACCESS_TOKEN = Lookup(_BY_SESSION.where(Session.id == bindparam("session_id"), User.id == bindparam("user_id")))
_KEY = (ApiKey.id, ApiKey.prefix, ApiKey.created_at, ApiKey.last_used_at, ApiKey.expires_at, ApiKey.scopes)
_BY_API_KEY = Lookup(
    _with_roles(select(*_KEY, *_USER, *_ROLE).join(User, User.id == ApiKey.user_id)).where(
        ApiKey.key_hash == bindparam("key_hash"), ApiKey.ended_at.is_(None)
    )
)


@dataclass(frozen=True, slots=True)
class Found:
    """The principal of a credential and its last use; the session expires `idle_seconds` after that."""

    principal: Principal
    seen_at: datetime | None
    idle_seconds: float = math.inf

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
    credential = _found(source, rows, at, via="cookie")
    if isinstance(credential, Found) and rows[0].impersonated_id is not None:
        return _acting_as(source, credential, rows[0], at)
    return credential


def find_by_access_token(source: Source, access: Access, *, at: datetime, acts: bool = False) -> Found | Expired | None:
    """Return the principal of a verified access token; None if its session ended. `acts`: impersonation counts too."""
    rows = _BY_ACCESS_TOKEN.all(source, session_id=access.session_id, user_id=access.user_id)
    credential = _found(source, rows, at, via="access_token")
    if acts and isinstance(credential, Found) and rows[0].impersonated_id is not None:
        return _acting_as(source, credential, rows[0], at)
    return credential


def find_by_api_key(source: Source, key: str, *, at: datetime) -> Found | Expired | None:
    """Return the principal of an API key, limited to the key's scopes, or None if it does not exist or was revoked.

    It never counts as confirmed, because it proves no identity.
    """
    rows = _BY_API_KEY.all(source, key_hash=token_hash(key))
    if not rows:
        return None
    first = rows[0]
    if first.expires_at is not None and first.expires_at <= at:
        return Expired(key_id=first.id)
    holder = _holder(rows)
    holder["permissions"] = (holder["permissions"] | ACCOUNT_SCOPES.keys()) & frozenset(first.scopes)
    principal = Principal(
        **holder,
        session_id=0,
        authenticated_at=first.created_at,
        confirmed_at=NEVER,
        via="api_key",
        key_id=first.id,
        key_prefix=first.prefix,
        lacks_factor=_lacks_factor(source, rows),
    )
    return Found(principal, first.last_used_at)


def _found(
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
        **_holder(rows),
        session_id=first.id,
        authenticated_at=first.created_at,
        confirmed_at=first.confirmed_at,
        via=via,
        lacks_factor=_lacks_factor(source, rows),
        time_zone=getattr(first, "time_zone", None),  # Read for browsers only.
    )
    return Found(principal, first.last_seen_at, first.idle_seconds)


def _acting_as(source: Source, credential: Found, row: Any, at: datetime) -> Found:
    """Return the principal of the impersonated user, as long as the impersonation lasts and is allowed."""
    own = credential.principal
    rows = _BY_USER.all(source, user_id=row.impersonated_id)
    if not rows or USERS_IMPERSONATE not in own.permissions or row.impersonated_until <= at:
        return credential
    holder = _holder(rows)
    if not holder["permissions"] <= own.permissions:
        return credential
    holder["permissions"] -= {USERS_IMPERSONATE}
    until = row.impersonated_until
    acting = replace(own, **holder, impersonator_id=own.user_id, impersonated_until=until)
    return replace(credential, principal=acting)


def _lacks_factor(source: Source, rows: Sequence[Any]) -> bool:
    """Return whether a required second factor is missing; queries only for users whose role requires one."""
    if not any(row.requires_second_factor for row in rows):
        return False
    return _ANY_FACTOR.first(source, user_id=rows[0].user_id) is None


def _holder(rows: Sequence[Any]) -> dict[str, Any]:
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
