"""What a stored file is for, and accounts that their owner deleted.

Revision ID: 0014
Revises: 0013
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("stored_files", sa.Column("purpose", sa.String(16), nullable=False, server_default="import"))
    op.add_column("users", sa.Column("deleted_by_owner", sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    op.drop_column("users", "deleted_by_owner")
    op.drop_column("stored_files", "purpose")
