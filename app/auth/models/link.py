from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from app.core.lengths import STORED_ADDRESS_LENGTH
from app.core.models import OWN_DATA, Base, BigId


class Purpose(StrEnum):
    """The purpose of a link, which is valid for nothing else."""

    VERIFY_EMAIL = "verify_email"
    RESET_PASSWORD = "reset_password"
    CHANGE_EMAIL = "change_email"
    UNDO_EMAIL_CHANGE = "undo_email_change"
    INVITATION = "invitation"
    UNDO_ADDITION = "undo_addition"
    KEEP_FACTORS = "keep_factors"


# Each of these belongs to one act and undoes it. A newer one does not replace it, and it stays valid when an account is
# secured: with it, the owner gets the account back.
UNDOING = (Purpose.UNDO_EMAIL_CHANGE, Purpose.UNDO_ADDITION, Purpose.KEEP_FACTORS)
ENDED_BY_SAFETY = tuple(purpose for purpose in Purpose if purpose not in UNDOING)


class Target(StrEnum):
    """The kind of row that a link undoes."""

    AUTHENTICATOR = "authenticator"
    CONNECTION = "connection"
    API_KEY = "api_key"
    FACTOR_RESET = "factor_reset"


@dataclass(frozen=True, slots=True)
class Undoable:
    """An addition that a link undoes: a row added `at`, which may no longer exist."""

    kind: Target
    id: int
    at: datetime

    @classmethod
    def read(cls, kind: Target, values: Mapping[str, Any]) -> Undoable | None:
        """Return it from the details of an audit event, or None for an old event or one without details."""
        if "added_id" not in values:
            return None
        return cls(kind, values["added_id"], datetime.fromisoformat(values["added_at"]))


class OneTimeLink(Base):
    """A link in an email. Its token is a keyed hash of this row; only the hash of that token is stored.

    `job_id` ties it to the job that sends it, so that a retried job sends the same link. `target_kind` and `target_id`
    name the row that it undoes, which was added at `target_at` and may no longer exist.
    """

    __tablename__ = "one_time_links"
    __table_args__ = (
        Index("ix_one_time_links_user_id", "user_id", "purpose"),
        Index("ix_one_time_links_expires_at", "expires_at"),
        {"sqlite_autoincrement": True, "info": {OWN_DATA: None}},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    purpose: Mapped[str] = mapped_column(String(32))
    address: Mapped[str] = mapped_column(String(STORED_ADDRESS_LENGTH))
    salt: Mapped[bytes] = mapped_column(LargeBinary(16))
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    email_change_id: Mapped[int | None] = mapped_column(ForeignKey("email_changes.id", ondelete="CASCADE"), index=True)
    target_kind: Mapped[str | None] = mapped_column(String(16))
    target_id: Mapped[int | None] = mapped_column(BigId)
    target_at: Mapped[datetime | None]
    job_id: Mapped[int | None] = mapped_column(BigId, unique=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
