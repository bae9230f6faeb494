"""The site's name, accent color, support address and logo as settings that administrators change.

Revision ID: 0025
Revises: 0024
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name, length in (("name", 60), ("accent_color", 7), ("support_email", 320), ("logo_digest", 64)):
        op.add_column("site_settings", sa.Column(name, sa.String(length)))
    op.add_column("site_settings", sa.Column("logo", sa.LargeBinary()))


def downgrade() -> None:
    with op.batch_alter_table("site_settings") as table:
        for name in ("logo", "logo_digest", "support_email", "accent_color", "name"):
            table.drop_column(name)
