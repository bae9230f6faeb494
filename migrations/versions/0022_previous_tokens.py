"""The token that a session had before its privileges changed, and until when that still works.

Revision ID: 0022
Revises: 0021
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.core.models import UtcTime

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

INDEX = "ix_sessions_previous_token_hash"
KEPT = sa.text("previous_token_hash IS NOT NULL")


def upgrade() -> None:
    op.add_column("sessions", sa.Column("previous_token_hash", sa.String(64)))
    op.add_column("sessions", sa.Column("previous_token_until", UtcTime()))
    op.create_index(INDEX, "sessions", ["previous_token_hash"], sqlite_where=KEPT, postgresql_where=KEPT)


def downgrade() -> None:
    op.drop_index(INDEX, "sessions")
    with op.batch_alter_table("sessions") as sessions:
        sessions.drop_column("previous_token_until")
        sessions.drop_column("previous_token_hash")
