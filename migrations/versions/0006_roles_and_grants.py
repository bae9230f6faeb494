"""Roles that are made and changed while the site runs, the role `manager`, and permissions on one resource.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.core.models import UtcTime

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    # SQLite copies the table, so that the id of a deleted role is never used again.
    copies = "always" if op.get_context().dialect.name == "sqlite" else "never"
    with op.batch_alter_table("roles", recreate=copies, table_kwargs={"sqlite_autoincrement": True}) as batch_op:
        batch_op.add_column(
            sa.Column("requires_second_factor", sa.Boolean(), server_default=sa.false(), nullable=False)
        )
    # A role of this name that somebody made stays as it is.
    op.execute(
        """
        INSERT INTO roles (name, description, permissions, version, created_at)
        SELECT 'manager', 'Looks after the people.',
               '["roles:read", "users:deactivate", "users:edit", "users:invite", "users:read", "users:support"]',
               1, CURRENT_TIMESTAMP
        WHERE NOT EXISTS (SELECT 1 FROM roles WHERE name = 'manager')
        """
    )
    op.create_table(
        "grants",
        sa.Column("id", BigId, nullable=False),
        sa.Column("user_id", BigId, nullable=False),
        sa.Column("resource_type", sa.String(length=64), nullable=False),
        sa.Column("resource_id", BigId, nullable=False),
        sa.Column("permission", sa.String(length=64), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_grants_user_id_users"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_grants")),
        sa.UniqueConstraint("user_id", "resource_type", "resource_id", "permission", name=op.f("uq_grants_user_id")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_grants_resource", "grants", ["resource_type", "resource_id"])


def downgrade() -> None:
    op.drop_table("grants")
    # The role `manager` stays: people may hold it.
    with op.batch_alter_table("roles") as batch_op:
        batch_op.drop_column("requires_second_factor")
