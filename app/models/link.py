from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, BigId


class Purpose(StrEnum):
    """What a link is for; it is not valid for anything else."""

    VERIFY_EMAIL = "verify_email"
    RESET_PASSWORD = "reset_password"
    CHANGE_EMAIL = "change_email"
    UNDO_EMAIL_CHANGE = "undo_email_change"
    INVITATION = "invitation"


# Ended when an account is secured. Links that undo a change of address stay: with them, the previous owner gets the
# account back.
ENDED_BY_SAFETY = tuple(purpose for purpose in Purpose if purpose != Purpose.UNDO_EMAIL_CHANGE)


class OneTimeLink(Base):
    """A link in a mail. Its token is a keyed hash of this row; only the hash of that token is stored.

    `job_id` ties it to the job that sends it, so that a retried job sends the same link.
    """

    __tablename__ = "one_time_links"
    __table_args__ = (
        Index("ix_one_time_links_user_id", "user_id", "purpose"),
        Index("ix_one_time_links_expires_at", "expires_at"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    purpose: Mapped[str] = mapped_column(String(32))
    address: Mapped[str] = mapped_column(String(320))
    salt: Mapped[bytes] = mapped_column(LargeBinary(16))
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    email_change_id: Mapped[int | None] = mapped_column(ForeignKey("email_changes.id", ondelete="CASCADE"), index=True)
    job_id: Mapped[int | None] = mapped_column(BigId, unique=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
