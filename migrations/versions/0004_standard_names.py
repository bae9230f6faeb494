"""The names of the field for the columns of jobs.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Both databases rename in place; Alembic's own operation would copy the table on SQLite.
    op.execute("ALTER TABLE jobs RENAME COLUMN rung_at TO notified_at")


def downgrade() -> None:
    op.execute("ALTER TABLE jobs RENAME COLUMN notified_at TO rung_at")
