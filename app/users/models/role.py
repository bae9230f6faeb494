from datetime import datetime

from sqlalchemy import Column, ForeignKey, Index, String, Table, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column

from app.core.lengths import MAX_DESCRIPTION_LENGTH, MAX_ROLE_NAME_LENGTH
from app.core.models import OWN_DATA, Base, BigId

ADMINISTRATOR = "administrator"
MEMBER = "member"

user_roles = Table(
    "user_roles",
    Base.metadata,
    Column("user_id", BigId, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("role_id", BigId, ForeignKey("roles.id", ondelete="CASCADE"), primary_key=True),
    Index("ix_user_roles_role_id", "role_id", "user_id"),
    info={OWN_DATA: None},
)


class Role(Base):
    """A named set of permissions. `version` increases with every change.

    Users of a role that `requires_second_factor` can do nothing before they have set one up. Only administrators can
    assign a role for `administrators_only`, whatever its permissions: other applications may rely on it
    (`/auth/forward?role=`).
    """

    __tablename__ = "roles"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(String(MAX_ROLE_NAME_LENGTH), unique=True)
    description: Mapped[str] = mapped_column(String(MAX_DESCRIPTION_LENGTH), default="")
    permissions: Mapped[list[str]]
    requires_second_factor: Mapped[bool] = mapped_column(default=False, server_default=false())
    administrators_only: Mapped[bool] = mapped_column(default=False, server_default=false(), deferred=True)
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime]

    def keeps_its_name(self) -> bool:
        """Return whether the code refers to this role by its name, so that it cannot be renamed or deleted."""
        return self.name in {ADMINISTRATOR, MEMBER}


class Grant(Base):
    """A permission of one user on one resource: the row `resource_id` of the table `resource_type`."""

    __tablename__ = "grants"
    __table_args__ = (
        UniqueConstraint("user_id", "resource_type", "resource_id", "permission", name="uq_grants_user_id"),
        Index("ix_grants_resource", "resource_type", "resource_id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    resource_type: Mapped[str] = mapped_column(String(64))
    resource_id: Mapped[int] = mapped_column(BigId)
    permission: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]
