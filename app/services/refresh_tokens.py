"""Refresh tokens: each is used once, and a second use says that somebody else has it too (RFC 9700, section 4.14.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session as DbSession

from app.errors import BadRefreshToken, TokenReused
from app.models import RefreshToken, Session, User
from app.security.tokens import keyed_hash, new_token, token_hash
from app.services.audit import AuditLog
from app.services.job_queue import JobQueue
from app.services.sessions import Sessions
from app.services.statements import affected, insert_once
from app.tasks import SendTokenReused

PREFIX = "ghr_"
# Two tabs that refresh at once, or an answer that was lost on its way, are no theft.
GRACE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Refreshed:
    user_id: int
    session_id: int
    refresh_token: str


class RefreshTokens:
    """`keys` are the site's secret keys, the present one first."""

    def __init__(
        self,
        session: DbSession,
        *,
        audit: AuditLog,
        job_queue: JobQueue,
        sessions: Sessions,
        keys: Sequence[str],
        idle: timedelta,
        clock: Callable[[], datetime],
    ) -> None:
        self._session = session
        self._audit = audit
        self._job_queue = job_queue
        self._sessions = sessions
        self._keys = keys
        self._idle = idle
        self._clock = clock

    def start(self, session_id: int) -> str:
        """The first refresh token of a sign-in."""
        token = PREFIX + new_token()
        row = select(Session.expires_at).where(Session.id == session_id)
        ends = self._session.execute(row).scalar_one()
        self._session.execute(insert(RefreshToken), self._row(session_id, token, ends=ends))
        return token

    def refresh(self, token: str) -> Refreshed:
        """Spend the token for its successor, which is a keyed hash of it and so the same for whoever asks twice.

        Raises BadRefreshToken; TokenReused, when the whole sign-in has ended because of it.
        """
        now = self._clock()
        row = self._session.execute(
            select(RefreshToken.id, RefreshToken.used_at, RefreshToken.expires_at, Session, User)
            .join(Session, Session.id == RefreshToken.session_id)
            .join(User, User.id == Session.user_id)
            .where(RefreshToken.token_hash == token_hash(token))
            .with_for_update(of=RefreshToken)
        ).first()
        if row is None or not row.Session.is_live(now) or not row.User.can_sign_in() or row.expires_at <= now:
            raise BadRefreshToken
        spent = affected(
            self._session,
            update(RefreshToken)
            .where(RefreshToken.id == row.id, RefreshToken.used_at.is_(None))
            .values(used_at=now)
            .execution_options(synchronize_session=False),
        )
        successor = self._succeed(row.Session, token) if spent == 1 else self._living_successor(row.id, token, now)
        if successor is None:
            self._end(row.Session)
            raise TokenReused
        return Refreshed(row.User.id, row.Session.id, successor)

    def _succeed(self, session: Session, token: str) -> str:
        successor = self._successor(self._keys[0], token)
        added = insert_once(self._session, RefreshToken).values(
            **self._row(session.id, successor, ends=session.expires_at)
        )
        self._session.execute(added.on_conflict_do_nothing())
        session.last_seen_at = self._clock()
        return successor

    def _living_successor(self, token_id: int, token: str, now: datetime) -> str | None:
        """What was given for this token, if that was a moment ago and nobody has used it yet."""
        used_at = self._session.execute(select(RefreshToken.used_at).where(RefreshToken.id == token_id)).scalar()
        if used_at is None or now - used_at > GRACE:
            return None
        candidates = {token_hash(each): each for each in (self._successor(key, token) for key in self._keys)}
        unused = select(RefreshToken.token_hash).where(
            RefreshToken.token_hash.in_(candidates), RefreshToken.used_at.is_(None)
        )
        found = self._session.execute(unused).scalar()
        return candidates[found] if found else None

    def _end(self, session: Session) -> None:
        self._sessions.end(session.id, user_id=session.user_id, reason="token_reused")
        event_id = self._audit.record("session.token_reused", subject_id=session.user_id, session_id=session.id)
        self._job_queue.enqueue(SendTokenReused(user_id=session.user_id, event_id=event_id))

    def _row(self, session_id: int, token: str, *, ends: datetime) -> dict[str, object]:
        now = self._clock()
        return {
            "session_id": session_id,
            "token_hash": token_hash(token),
            "created_at": now,
            "expires_at": min(now + self._idle, ends),
        }

    @staticmethod
    def _successor(key: str, token: str) -> str:
        return PREFIX + keyed_hash(key, "refresh token", token)
