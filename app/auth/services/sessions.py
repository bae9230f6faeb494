"""Sessions: one row for each sign-in; revoking it revokes everything that depends on it."""

from datetime import datetime, timedelta

from sqlalchemy import delete, insert, select, update

from app.audit.services.log import AuditLog
from app.auth.models import Device, Session
from app.auth.services.principals import NEVER
from app.core import errors
from app.core.dialects import rowcount, upsert
from app.core.lifetimes import Lifetimes
from app.core.principal import Principal, Visit
from app.core.service import Service
from app.core.tokens import new_token, token_hash

SIGNED_OUT = "signed_out"
# For requests that were on their way when the token was replaced.
PREVIOUS_TOKEN_SECONDS = 30


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
        count = rowcount(
            self.session,
            update(Session)
            .where(Session.id == session_id, Session.user_id == user_id, Session.ended_at.is_(None))
            .values(ended_at=self.clock(), end_reason=reason),
        )
        if count != 1:
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
        count = rowcount(self.session, query.values(ended_at=self.clock(), end_reason=reason))
        if count:
            self.audit.record("session.ended_all", subject_id=user_id, reason=reason, count=count)
        return count

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
