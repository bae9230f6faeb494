from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.models.base import Base, BigId
from app.models.user import User


class Invitation(Base):
    """What was promised to somebody who has not accepted yet; the row goes when they do.

    `inviter_id` is None on the command line, and when the inviter was erased; only `by_operator` tells which.
    """

    __tablename__ = "invitations"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), unique=True)
    inviter_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"), index=True)
    by_operator: Mapped[bool]
    roles: Mapped[list[str]]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]

    user: Mapped[User] = relationship(foreign_keys=[user_id], lazy="raise")
    inviter: Mapped[User | None] = relationship(foreign_keys=[inviter_id], lazy="raise")
