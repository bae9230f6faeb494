"""The domain of each address as a word for searching, like `@example.com`.

Revision ID: 0024
Revises: 0023
"""

from __future__ import annotations

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    at = "strpos(email, '@')" if op.get_context().dialect.name == "postgresql" else "instr(email, '@')"
    # As in `searched_text`: local parts with an @ between quotes are not accepted.
    op.execute(
        f"INSERT INTO user_words (word, user_id) SELECT substr(email, {at}, 100), id FROM users WHERE true "  # noqa: S608
        "ON CONFLICT DO NOTHING"
    )


def downgrade() -> None:
    op.execute("DELETE FROM user_words WHERE word LIKE '@%'")
