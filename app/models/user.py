from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.models.base import Base, BigId
from app.models.role import Role, user_roles


class User(Base):
    """A person with an account. `email` is the canonical form (see `app/services/addresses.py`) and unique."""

    __tablename__ = "users"
    __table_args__ = (
        # The purge of never-confirmed accounts and the newest-first list walk these.
        Index("ix_users_created_at", "created_at", "id"),
        Index("ix_users_name", "name", "id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    email: Mapped[str] = mapped_column(String(320), unique=True)
    name: Mapped[str] = mapped_column(String(100), default="")
    hashed_password: Mapped[str | None] = mapped_column(String(255))
    is_active: Mapped[bool] = mapped_column(default=True)
    email_verified_at: Mapped[datetime | None]
    last_seen_at: Mapped[datetime | None]
    deactivated_at: Mapped[datetime | None]
    deactivation_reason: Mapped[str | None] = mapped_column(String(500))
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    roles: Mapped[list[Role]] = relationship(secondary=user_roles, order_by=Role.name)

    def is_verified(self) -> bool:
        return self.email_verified_at is not None

    def can_sign_in(self) -> bool:
        return self.is_active and self.is_verified()

    def has_role(self, name: str) -> bool:
        return any(role.name == name for role in self.roles)

    def deactivate(self, *, reason: str, at: datetime) -> None:
        self.is_active = False
        self.deactivated_at, self.deactivation_reason, self.updated_at = at, reason, at

    def activate(self, *, at: datetime) -> None:
        self.is_active = True
        self.deactivated_at, self.deactivation_reason, self.updated_at = None, None, at


class EmailChange(Base):
    """A change of address: asked for, then confirmed at the new address, or undone from the old one."""

    __tablename__ = "email_changes"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    old_email: Mapped[str] = mapped_column(String(320))
    new_email: Mapped[str] = mapped_column(String(320))
    requested_at: Mapped[datetime]
    confirmed_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
