"""One pending change of address a user, counted refusals, mails by recipient, devices that expire.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
PENDING = sa.text("confirmed_at IS NULL AND ended_at IS NULL")


def upgrade() -> None:
    # Where several wait for one user, the newest stays: the links of the others were ended when it was asked for.
    op.execute(
        "UPDATE email_changes SET ended_at = requested_at WHERE confirmed_at IS NULL AND ended_at IS NULL "
        "AND id < (SELECT max(newer.id) FROM email_changes AS newer WHERE newer.user_id = email_changes.user_id "
        "AND newer.confirmed_at IS NULL AND newer.ended_at IS NULL)"
    )
    op.create_index(
        "uq_email_changes_pending",
        "email_changes",
        ["user_id"],
        unique=True,
        sqlite_where=PENDING,
        postgresql_where=PENDING,
    )
    # Columns with a constant default and new indexes need no copy of the table on either database.
    op.add_column("audit_events", sa.Column("once_key", sa.String(length=128), nullable=True))
    op.create_index("uq_audit_events_once_key", "audit_events", ["once_key"], unique=True)
    op.add_column("audit_details", sa.Column("count", BigId, server_default="1", nullable=False))
    op.create_index("ix_sent_mails_recipient", "sent_mails", ["recipient", "kind", "created_at"])
    op.create_index("ix_devices_last_seen_at", "devices", ["last_seen_at"])


def downgrade() -> None:
    op.drop_index("ix_devices_last_seen_at", "devices")
    op.drop_index("ix_sent_mails_recipient", "sent_mails")
    op.drop_column("audit_details", "count")
    op.drop_index("uq_audit_events_once_key", "audit_events")
    op.drop_column("audit_events", "once_key")
    op.drop_index("uq_email_changes_pending", "email_changes")
