"""Progress, position, worker and cancellation of jobs; where a try failed; schedule entries that are paused.

Revision ID: 0011
Revises: 0010
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.core.models import UtcTime

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    # Columns without a default, or with a constant one, need no copy of the table on either database.
    for name in ("progress_done", "progress_before"):
        op.add_column("jobs", sa.Column(name, BigId, nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("progress_total", BigId, nullable=True))
    op.add_column("jobs", sa.Column("position", sa.JSON(), nullable=True))
    op.add_column("jobs", sa.Column("worker", sa.String(100), nullable=True))
    op.add_column("jobs", sa.Column("claimed_at", UtcTime(), nullable=True))
    op.add_column("jobs", sa.Column("cancel_requested_at", UtcTime(), nullable=True))
    op.add_column("jobs", sa.Column("traceback", sa.Text(), nullable=True))
    op.drop_column("jobs", "progress")
    op.create_index("ix_jobs_kind", "jobs", ["kind", "id"])
    op.create_table(
        "schedule_pauses",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("paused_at", UtcTime(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("schedule_pauses")
    op.drop_index("ix_jobs_kind", "jobs")
    op.add_column("jobs", sa.Column("progress", BigId, nullable=False, server_default="0"))
    names = ("traceback", "cancel_requested_at", "claimed_at", "worker", "position", "progress_total")
    for name in (*names, "progress_before", "progress_done"):
        op.drop_column("jobs", name)
