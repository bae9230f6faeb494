"""Counts by day and hour that reports read, and who gets the weekly report.

Revision ID: 0012
Revises: 0011
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.core.models import UtcTime

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "statistics",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("period", sa.String(16), primary_key=True),
        sa.Column("value", BigId, nullable=False),
    )
    op.create_table(
        "report_subscribers",
        sa.Column("user_id", BigId, sa.ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("created_at", UtcTime(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("report_subscribers")
    op.drop_table("statistics")
