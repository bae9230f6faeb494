"""Links that undo an addition, authenticator apps that were replaced, and the factor that a session was confirmed with.

Revision ID: 0019
Revises: 0018
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.core.models import UtcTime

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("one_time_links", sa.Column("target_kind", sa.String(16)))
    op.add_column("one_time_links", sa.Column("target_id", BigId))
    op.add_column("one_time_links", sa.Column("target_at", UtcTime()))
    op.add_column("authenticators", sa.Column("replaced_at", UtcTime()))
    op.add_column("authenticators", sa.Column("replaced_by_id", BigId))
    op.add_column("sessions", sa.Column("factor_added_at", UtcTime()))


def downgrade() -> None:
    # The earlier release would take them for apps that wait for their first code.
    op.execute("DELETE FROM authenticators WHERE replaced_at IS NOT NULL")
    op.execute("DELETE FROM one_time_links WHERE target_kind IS NOT NULL")
    with op.batch_alter_table("sessions") as sessions:
        sessions.drop_column("factor_added_at")
    with op.batch_alter_table("authenticators") as authenticators:
        authenticators.drop_column("replaced_by_id")
        authenticators.drop_column("replaced_at")
    with op.batch_alter_table("one_time_links") as links:
        links.drop_column("target_at")
        links.drop_column("target_id")
        links.drop_column("target_kind")
