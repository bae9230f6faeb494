"""Authenticators and their resets, and browsers that are trusted without a second factor for a while.

Revision ID: 0018
Revises: 0017
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.core.models import UtcTime, by_bytes

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "authenticators",
        sa.Column("id", BigId, primary_key=True),
        sa.Column("user_id", BigId, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("secret", sa.String(255)),
        sa.Column("last_step", BigId),
        sa.Column("code_hash", sa.String(255)),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("credential_id", by_bytes(1400), unique=True),
        sa.Column("public_key", sa.LargeBinary()),
        sa.Column("sign_count", BigId),
        sa.Column("transports", sa.JSON()),
        sa.Column("failures", BigId, nullable=False, server_default=sa.text("0")),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("confirmed_at", UtcTime()),
        sa.Column("last_used_at", UtcTime()),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_authenticators_user_id", "authenticators", ["user_id", "kind"])
    op.create_table(
        "factor_resets",
        sa.Column("id", BigId, primary_key=True),
        sa.Column("user_id", BigId, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
        sa.Column("reason", sa.String(500), nullable=False),
        sa.Column("begun_at", UtcTime(), nullable=False),
        sa.Column("due_at", UtcTime(), nullable=False),
        sa.Column("ended_at", UtcTime()),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_factor_resets_user_id", "factor_resets", ["user_id"])
    waiting = sa.text("ended_at IS NULL")
    op.create_index(
        "uq_factor_resets_waiting",
        "factor_resets",
        ["user_id"],
        unique=True,
        sqlite_where=waiting,
        postgresql_where=waiting,
    )
    with op.batch_alter_table("devices") as devices:
        devices.add_column(sa.Column("trusted_until", UtcTime()))
        devices.add_column(sa.Column("user_agent", sa.String(500)))


def downgrade() -> None:
    with op.batch_alter_table("devices") as devices:
        devices.drop_column("user_agent")
        devices.drop_column("trusted_until")
    op.drop_table("factor_resets")
    op.drop_table("authenticators")
