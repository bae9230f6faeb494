"""Clearer descriptions for the three roles that exist from the start, unless someone has changed them.

Revision ID: 0023
Revises: 0022
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

DESCRIPTIONS = [
    ("administrator", "May do everything.", "All permissions."),
    ("manager", "Looks after the people.", "Manages users."),
    ("member", "An account of their own.", "Manages their own account."),
]
ROLES = sa.table("roles", sa.column("name", sa.String), sa.column("description", sa.String))


def upgrade() -> None:
    for name, before, after in DESCRIPTIONS:
        replace(name, before, after)


def downgrade() -> None:
    for name, before, after in DESCRIPTIONS:
        replace(name, after, before)


def replace(name: str, current: str, description: str) -> None:
    matching = sa.and_(ROLES.c.name == name, ROLES.c.description == current)
    op.execute(ROLES.update().where(matching).values(description=description))
