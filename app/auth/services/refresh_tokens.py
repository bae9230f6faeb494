"""Refresh tokens: used once; a second use means that someone else has it too (RFC 9700, section 4.14.2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import insert, select, update

from app.audit.services.log import AuditLog
from app.auth.emails.sign_in import SendTokenReused
from app.auth.models import RefreshToken, Session
from app.auth.services.sessions import Sessions
from app.core import errors
from app.core.dialects import rowcount, upsert
from app.core.lifetimes import Lifetimes
from app.core.service import Service
from app.core.tokens import keyed_hash, new_token, token_hash
from app.jobs.services.queue import JobQueue
from app.users.models import User

PREFIX = "ghr_"
# Two tabs that refresh at once, or a lost response, are not a theft.
GRACE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Refreshed:
    user_id: int
    session_id: int
    refresh_token: str


class RefreshTokens(Service):
    """`secret_keys` are the site's, the current one first."""

    audit: AuditLog
    job_queue: JobQueue
    sessions: Sessions
    secret_keys: Sequence[str]
    lifetimes: Lifetimes

    def start(self, session_id: int) -> str:
        """Create the first refresh token of a session."""
        token = PREFIX + new_token()
        row = select(Session.expires_at).where(Session.id == session_id)
        ends = self.session.execute(row).scalar_one()
        self.session.execute(insert(RefreshToken), self._row(session_id, token, ends=ends))
        return token

    def refresh(self, token: str) -> Refreshed:
        """Spend the token and return its successor, a keyed hash of it and so the same for repeated use.

        Raises BadRefreshToken; TokenReused, which has ended the whole sign-in.
        """
        now = self.clock()
        row = self.session.execute(
            select(RefreshToken.id, RefreshToken.used_at, RefreshToken.expires_at, Session, User)
            .join(Session, Session.id == RefreshToken.session_id)
            .join(User, User.id == Session.user_id)
            .where(RefreshToken.token_hash == token_hash(token))
            .with_for_update(of=RefreshToken)
        ).first()
        if row is None or not row.Session.is_live(now) or not row.User.can_sign_in() or row.expires_at <= now:
            raise errors.BadRefreshToken
        spent = rowcount(
            self.session,
            update(RefreshToken)
            .where(RefreshToken.id == row.id, RefreshToken.used_at.is_(None))
            .values(used_at=now)
            .execution_options(synchronize_session=False),
        )
        successor = self._succeed(row.Session, token) if spent == 1 else self._unused_successor(row.id, token, now)
        if successor is None:
            self._end(row.Session)
            raise errors.TokenReused
        return Refreshed(row.User.id, row.Session.id, successor)

    def _succeed(self, session: Session, token: str) -> str:
        successor = self._successor(self.secret_keys[0], token)
        added = upsert(self.session, RefreshToken).values(**self._row(session.id, successor, ends=session.expires_at))
        self.session.execute(added.on_conflict_do_nothing())
        session.last_seen_at = self.clock()
        return successor

    def _unused_successor(self, token_id: int, token: str, now: datetime) -> str | None:
        """Return the successor of a recently spent token, if it is unused."""
        used_at = self.session.execute(select(RefreshToken.used_at).where(RefreshToken.id == token_id)).scalar()
        if used_at is None or now - used_at > GRACE:
            return None
        candidates = {
            token_hash(successor): successor for successor in (self._successor(key, token) for key in self.secret_keys)
        }
        unused = select(RefreshToken.token_hash).where(
            RefreshToken.token_hash.in_(candidates), RefreshToken.used_at.is_(None)
        )
        unused_hash = self.session.execute(unused).scalar()
        return candidates[unused_hash] if unused_hash else None

    def _end(self, session: Session) -> None:
        self.sessions.revoke(session.id, user_id=session.user_id, reason="token_reused")
        event_id = self.audit.record("session.token_reused", subject_id=session.user_id, session_id=session.id)
        self.job_queue.enqueue(SendTokenReused(user_id=session.user_id, event_id=event_id))

    def _row(self, session_id: int, token: str, *, ends: datetime) -> dict[str, object]:
        now = self.clock()
        return {
            "session_id": session_id,
            "token_hash": token_hash(token),
            "created_at": now,
            "expires_at": min(now + timedelta(days=self.lifetimes.remember_idle_days), ends),
        }

    @staticmethod
    def _successor(key: str, token: str) -> str:
        return PREFIX + keyed_hash(key, "refresh token", token)
