"""Sessions in which an administrator acts as somebody else, and both people in every audit event.

Revision ID: 0010
Revises: 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.core.models import UtcTime

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
WAITING = sa.text("impersonated_until IS NOT NULL")


def upgrade() -> None:
    # Columns without a default and a partial index need no copy of the tables on either database.
    op.add_column("audit_events", sa.Column("on_behalf_of_id", BigId, nullable=True))
    op.add_column("sessions", sa.Column("impersonated_id", BigId, nullable=True))
    op.add_column("sessions", sa.Column("impersonated_until", UtcTime(), nullable=True))
    op.add_column("sessions", sa.Column("impersonation_event_id", BigId, nullable=True))
    op.create_index(
        "ix_sessions_impersonated_until",
        "sessions",
        ["impersonated_until"],
        sqlite_where=WAITING,
        postgresql_where=WAITING,
    )


def downgrade() -> None:
    op.drop_index("ix_sessions_impersonated_until", "sessions")
    for name in ("impersonation_event_id", "impersonated_until", "impersonated_id"):
        op.drop_column("sessions", name)
    op.drop_column("audit_events", "on_behalf_of_id")
