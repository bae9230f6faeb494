"""What administrators change while the site runs: registration, an announcement, maintenance.

Revision ID: 0016
Revises: 0015
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.core.models import UtcTime

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "site_settings",
        sa.Column("id", BigId, primary_key=True, autoincrement=False),
        sa.Column("version", BigId, nullable=False),
        sa.Column("registration", sa.String(16)),
        sa.Column("announcement", sa.String(300), nullable=False),
        sa.Column("maintenance", sa.Boolean(), nullable=False),
        sa.Column("changed_at", UtcTime(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("site_settings")
