from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.core.models import Base, BigId
from app.users.models import User


class Invitation(Base):
    """A pending invitation with its roles; the row is deleted on acceptance.

    `inviter_id` is None for the command line and for a deleted inviter; `by_operator` tells them apart.
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
