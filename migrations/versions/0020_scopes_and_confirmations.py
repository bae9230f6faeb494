"""Scopes of API keys for their owner's account, roles for administrators only, and what an import may do.

Keys made before keep what reads the owner's account and lose the rest; a mail tells their owners.

Revision ID: 0020
Revises: 0019
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

ADD_SCOPE = {
    "sqlite": "UPDATE api_keys SET scopes = json_insert(scopes, '$[#]', 'account:read')",
    "postgresql": """UPDATE api_keys SET scopes = (scopes::jsonb || '["account:read"]'::jsonb)::json""",
}
REMOVE_SCOPES = {
    "sqlite": "UPDATE api_keys SET scopes = (SELECT json_group_array(value) FROM json_each(api_keys.scopes)"
    " WHERE value NOT LIKE 'account:%')",
    "postgresql": "UPDATE api_keys SET scopes = (scopes::jsonb - 'account:read' - 'account:write')::json",
}
ARGUMENTS = {"sqlite": "json_object('user_id', user_id)", "postgresql": "json_build_object('user_id', user_id)"}

TELL_OWNERS = """
INSERT INTO jobs (kind, arguments, queue, state, run_after, attempts, max_attempts, created_at)
SELECT 'send_api_keys_narrowed', ARGUMENTS, 'default', 'waiting', CURRENT_TIMESTAMP, 0, 42, CURRENT_TIMESTAMP
FROM (
    SELECT DISTINCT user_id FROM api_keys
    WHERE ended_at IS NULL AND (expires_at IS NULL OR expires_at > CURRENT_TIMESTAMP)
) AS owners
"""

NOTE_ROLES = """
UPDATE user_imports SET gives_roles = true
WHERE phase = 'checked' AND EXISTS (
    SELECT 1 FROM user_import_rows
    WHERE import_id = user_imports.id AND CAST(roles AS TEXT) NOT IN ('[]', '["member"]')
)
"""


def upgrade() -> None:
    dialect = op.get_context().dialect.name
    op.execute(ADD_SCOPE[dialect])
    op.execute(TELL_OWNERS.replace("ARGUMENTS", ARGUMENTS[dialect]))
    op.add_column("roles", sa.Column("administrators_only", sa.Boolean(), nullable=False, server_default=sa.false()))
    for name in ("by_key", "gives_roles", "is_confirmed"):
        op.add_column("user_imports", sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false()))
    # They were started when no confirmation was asked for.
    op.execute("UPDATE user_imports SET is_confirmed = true WHERE phase = 'applying'")
    op.execute(NOTE_ROLES)


def downgrade() -> None:
    with op.batch_alter_table("user_imports") as imports:
        for name in ("is_confirmed", "gives_roles", "by_key"):
            imports.drop_column(name)
    with op.batch_alter_table("roles") as roles:
        roles.drop_column("administrators_only")
    op.execute("DELETE FROM jobs WHERE kind = 'send_api_keys_narrowed'")
    op.execute(REMOVE_SCOPES[op.get_context().dialect.name])
