"""When a deactivation ends by itself, and when an account was deleted.

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.core.models import UtcTime

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_users_deactivated_until": ("deactivated_until", sa.text("deactivated_until IS NOT NULL")),
    "ix_users_deleted_at": ("deleted_at", sa.text("deleted_at IS NOT NULL")),
}


def upgrade() -> None:
    # Columns without a default and partial indexes need no copy of the table on either database.
    for name, (column, condition) in INDEXES.items():
        op.add_column("users", sa.Column(column, UtcTime(), nullable=True))
        op.create_index(name, "users", [column, "id"], sqlite_where=condition, postgresql_where=condition)


def downgrade() -> None:
    # Before there were undo times, a deleted account was gone: none may come back to life.
    op.execute("DELETE FROM audit_details WHERE subject_id IN (SELECT id FROM users WHERE deleted_at IS NOT NULL)")
    op.execute("DELETE FROM users WHERE deleted_at IS NOT NULL")
    for name, (column, _) in INDEXES.items():
        op.drop_index(name, "users")
        op.drop_column("users", column)
