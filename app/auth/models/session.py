from datetime import datetime, timedelta

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.core.lengths import MAX_USER_AGENT_LENGTH
from app.core.models import Base, BigId, partial_index

IMPERSONATING = text("impersonated_until IS NOT NULL")
RENEWED = text("previous_token_hash IS NOT NULL")


class Session(Base):
    """One sign-in; what depends on it ends with it. Only the token's hash is stored.

    `factor_added_at` is when the second factor was added that its owner has proved in it last; None without one. The
    previous token works until `previous_token_until`.
    """

    __tablename__ = "sessions"
    __table_args__ = (
        Index("ix_sessions_user_id", "user_id", "ended_at"),
        Index("ix_sessions_expires_at", "expires_at"),
        partial_index("ix_sessions_impersonated_until", "impersonated_until", where=IMPERSONATING),
        partial_index("ix_sessions_previous_token_hash", "previous_token_hash", where=RENEWED),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    previous_token_hash: Mapped[str | None] = mapped_column(String(64), deferred=True)
    previous_token_until: Mapped[datetime | None] = mapped_column(deferred=True)
    address: Mapped[str | None] = mapped_column(String(45))
    user_agent: Mapped[str] = mapped_column(String(MAX_USER_AGENT_LENGTH), default="")
    remembered: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    confirmed_at: Mapped[datetime]
    factor_added_at: Mapped[datetime | None] = mapped_column(deferred=True)
    idle_seconds: Mapped[int]
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    end_reason: Mapped[str | None] = mapped_column(String(32))
    # Whom the owner of the session acts as, until when, and the audit event that says why.
    impersonated_id: Mapped[int | None]
    impersonated_until: Mapped[datetime | None]
    impersonation_event_id: Mapped[int | None]

    def is_live(self, at: datetime) -> bool:
        idle_until = self.last_seen_at + timedelta(seconds=self.idle_seconds)
        return self.ended_at is None and at < self.expires_at and at < idle_until


class Device(Base):
    """A browser that has signed in to this account before, recognized by its own cookie, stored as a hash.

    `last_seen_at` is when its cookie was last set; the row is needed until that cookie expires. Until `trusted_until`
    it needs no second factor; `user_agent` describes it.
    """

    __tablename__ = "devices"
    __table_args__ = (UniqueConstraint("user_id", "token_hash"), Index("ix_devices_last_seen_at", "last_seen_at"))

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    token_hash: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    trusted_until: Mapped[datetime | None]
    user_agent: Mapped[str | None] = mapped_column(String(MAX_USER_AGENT_LENGTH))
