"""Signing keys, refresh tokens, API keys, answers kept by Idempotency-Key; the indexes of the list of users.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.core.models import UtcTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
DEACTIVATED = sa.text("NOT is_active")
UNCONFIRMED = sa.text("is_active AND email_verified_at IS NULL")
AT_ONCE = 1000


def upgrade() -> None:
    op.create_table(
        "signing_keys",
        sa.Column("id", BigId, nullable=False),
        sa.Column("kid", sa.String(length=64), nullable=False),
        sa.Column("public_jwk", sa.JSON(), nullable=False),
        sa.Column("private_jwk", sa.Text(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("retired_at", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signing_keys")),
        sa.UniqueConstraint("kid", name=op.f("uq_signing_keys_kid")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "refresh_tokens",
        sa.Column("id", BigId, nullable=False),
        sa.Column("session_id", BigId, nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("expires_at", UtcTime(), nullable=False),
        sa.Column("used_at", UtcTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name=op.f("fk_refresh_tokens_session_id_sessions"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refresh_tokens")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_refresh_tokens_token_hash")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_refresh_tokens_session_id", "refresh_tokens", ["session_id"])
    op.create_index("ix_refresh_tokens_expires_at", "refresh_tokens", ["expires_at"])
    op.create_table(
        "api_keys",
        sa.Column("id", BigId, nullable=False),
        sa.Column("user_id", BigId, nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("prefix", sa.String(length=16), nullable=False),
        sa.Column("key_hash", sa.String(length=64), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("expires_at", UtcTime(), nullable=True),
        sa.Column("last_used_at", UtcTime(), nullable=True),
        sa.Column("ended_at", UtcTime(), nullable=True),
        sa.Column("warned_at", UtcTime(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_api_keys_user_id_users"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("key_hash", name=op.f("uq_api_keys_key_hash")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_api_keys_user_id", "api_keys", ["user_id", "id"])
    op.create_index("ix_api_keys_expires_at", "api_keys", ["expires_at"])
    op.create_table(
        "idempotent_answers",
        sa.Column("id", BigId, nullable=False),
        sa.Column("caller", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("status", BigId, nullable=False),
        sa.Column("headers", sa.JSON(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_idempotent_answers")),
        sa.UniqueConstraint("caller", "key", name=op.f("uq_idempotent_answers_caller_key")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_idempotent_answers_created_at", "idempotent_answers", ["created_at"])
    op.create_table(
        "user_words",
        sa.Column(
            "word",
            sa.String(length=100).with_variant(sa.String(length=100, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("user_id", BigId, nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_user_words_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("word", "user_id", name=op.f("pk_user_words")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_user_words_user_id", "user_words", ["user_id"])

    # A column with a default and new indexes need no copy of the table on either database.
    op.add_column("users", sa.Column("version", BigId, server_default="1", nullable=False))
    if op.get_bind().dialect.name == "postgresql":
        op.execute('ALTER TABLE users ALTER COLUMN email TYPE VARCHAR(320) COLLATE "C"')
    op.create_index("ix_users_last_seen_at", "users", ["last_seen_at", "id"])
    op.create_index(
        "ix_users_deactivated",
        "users",
        ["created_at", "id"],
        sqlite_where=DEACTIVATED,
        postgresql_where=DEACTIVATED,
    )
    op.create_index(
        "ix_users_unconfirmed",
        "users",
        ["created_at", "id"],
        sqlite_where=UNCONFIRMED,
        postgresql_where=UNCONFIRMED,
    )
    if not op.get_context().as_sql:
        _write_words()


def _write_words() -> None:
    """The words of the names that are there already; `--sql` cannot, so a search finds those by address until saved."""
    connection, last = op.get_bind(), 0
    users = sa.table("users", sa.column("id"), sa.column("name"))
    words = sa.table("user_words", sa.column("word"), sa.column("user_id"))
    while rows := connection.execute(
        sa.select(users.c.id, users.c.name).where(users.c.id > last).order_by(users.c.id).limit(AT_ONCE)
    ).all():
        found = [
            {"word": word, "user_id": row.id}
            for row in rows
            for word in sorted({word[:100] for word in row.name.casefold().split()})
        ]
        if found:
            connection.execute(sa.insert(words), found)
        last = rows[-1].id


def downgrade() -> None:
    op.drop_index("ix_users_unconfirmed", "users")
    op.drop_index("ix_users_deactivated", "users")
    op.drop_index("ix_users_last_seen_at", "users")
    if op.get_bind().dialect.name == "postgresql":
        op.execute('ALTER TABLE users ALTER COLUMN email TYPE VARCHAR(320) COLLATE "default"')
    op.drop_column("users", "version")
    # A link to accept an invitation means nothing to the version before, and must not be taken for another.
    op.execute("DELETE FROM one_time_links WHERE purpose = 'invitation'")
    for table in ("user_words", "idempotent_answers", "api_keys", "refresh_tokens", "signing_keys"):
        op.drop_table(table)
