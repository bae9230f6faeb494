"""Files in the database, and imports of users with a row for each line of the file.

Revision ID: 0013
Revises: 0012
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.core.models import UtcTime

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "stored_files",
        sa.Column("id", BigId, primary_key=True),
        sa.Column("owner_id", BigId, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=True, index=True),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("size", BigId, nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("completed_at", UtcTime(), nullable=True),
        sa.Column("expires_at", UtcTime(), nullable=False, index=True),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "file_chunks",
        sa.Column("file_id", BigId, sa.ForeignKey("stored_files.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("number", BigId, primary_key=True),
        sa.Column("data", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "user_imports",
        sa.Column("id", BigId, primary_key=True),
        sa.Column("owner_id", BigId, sa.ForeignKey("users.id", ondelete="SET NULL"), nullable=True, index=True),
        sa.Column("by_operator", sa.Boolean(), nullable=False),
        sa.Column("permissions", sa.JSON(), nullable=False),
        sa.Column("file_id", BigId, sa.ForeignKey("stored_files.id", ondelete="SET NULL"), nullable=True, index=True),
        sa.Column("file_name", sa.String(255), nullable=False),
        sa.Column("invites", sa.Boolean(), nullable=False),
        sa.Column("phase", sa.String(16), nullable=False),
        sa.Column("problem", sa.String(500), nullable=True),
        sa.Column("job_id", BigId, nullable=True),
        sa.Column("rows", BigId, nullable=False),
        sa.Column("checked", sa.JSON(), nullable=False),
        sa.Column("applied", sa.JSON(), nullable=False),
        sa.Column("examples", sa.JSON(), nullable=False),
        sa.Column("ignored", sa.JSON(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False, index=True),
        sa.Column("ended_at", UtcTime(), nullable=True),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "user_import_rows",
        sa.Column("import_id", BigId, sa.ForeignKey("user_imports.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("number", BigId, primary_key=True),
        sa.Column("email", sa.String(320), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("roles", sa.JSON(), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(500), nullable=True),
        sa.Index("ix_user_import_rows_email", "email", "import_id"),
    )


def downgrade() -> None:
    for name in ("user_import_rows", "user_imports", "file_chunks", "stored_files"):
        op.drop_table(name)
