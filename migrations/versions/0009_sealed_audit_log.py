"""The audit log in a chain of hashes, kept from changes by triggers.

Revision ID: 0009
Revises: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.core.models import UtcTime

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
PRUNED = (
    "SELECT 1 FROM audit_seals WHERE pruned_at IS NOT NULL AND OLD.id BETWEEN audit_seals.first_id "
    "AND audit_seals.last_id"
)
SEAL = ["id", "first_id", "last_id", "previous_hash", "hash", "sealed_at"]
DETAIL = ["event_id", "subject_id", "salt", "address", "user_agent"]


def _differs(columns: list[str]) -> str:
    """SQLite knows `IS DISTINCT FROM` since 3.39 only."""
    comparison = "IS NOT" if op.get_context().dialect.name == "sqlite" else "IS DISTINCT FROM"
    return " OR ".join(f"NEW.{name} {comparison} OLD.{name}" for name in columns)


def _json_differs(column: str) -> str:
    """PostgreSQL compares no JSON."""
    if op.get_context().dialect.name == "sqlite":
        return f'NEW."{column}" IS NOT OLD."{column}"'
    return f'NEW."{column}"::text IS DISTINCT FROM OLD."{column}"::text'


def _rules() -> dict[str, tuple[str, str, str]]:
    """Trigger: table, event, and when it refuses."""
    return {
        "audit_events_update": ("audit_events", "UPDATE", "1 = 1"),
        "audit_events_delete": ("audit_events", "DELETE", f"NOT EXISTS ({PRUNED})"),
        "audit_details_update": ("audit_details", "UPDATE", f"{_differs(DETAIL)} OR {_json_differs('values')}"),
        "audit_seals_update": (
            "audit_seals",
            "UPDATE",
            f"{_differs(SEAL)} OR {_json_differs('entries')} OR OLD.pruned_at IS NOT NULL",
        ),
        "audit_seals_delete": ("audit_seals", "DELETE", "1 = 1"),
    }


def upgrade() -> None:
    op.create_table(
        "audit_seals",
        sa.Column("id", BigId, nullable=False),
        sa.Column("first_id", BigId, nullable=False),
        sa.Column("last_id", BigId, nullable=False),
        sa.Column("entries", sa.JSON(), nullable=False),
        sa.Column("previous_hash", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("sealed_at", UtcTime(), nullable=False),
        sa.Column("pruned_at", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_seals")),
        sa.UniqueConstraint("last_id", name=op.f("uq_audit_seals_last_id")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audit_events_kind", "audit_events", ["kind", "id"])
    op.create_index("ix_audit_events_at", "audit_events", ["at", "id"])
    for name, (table, event, condition) in _rules().items():
        if op.get_context().dialect.name == "sqlite":
            op.execute(
                f"CREATE TRIGGER {name} BEFORE {event} ON {table} WHEN {condition} "
                "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
            )
        else:
            kept = "NEW" if event == "UPDATE" else "OLD"
            op.execute(
                f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                f"IF {condition} THEN RAISE EXCEPTION 'the audit log is append-only'; END IF; RETURN {kept}; END $$"
            )
            op.execute(f"CREATE TRIGGER {name} BEFORE {event} ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()")


def downgrade() -> None:
    for name, (table, _, _) in _rules().items():
        if op.get_context().dialect.name == "sqlite":
            op.execute(f"DROP TRIGGER {name}")
        else:
            op.execute(f"DROP TRIGGER {name} ON {table}")
            op.execute(f"DROP FUNCTION {name}()")
    op.drop_index("ix_audit_events_at", "audit_events")
    op.drop_index("ix_audit_events_kind", "audit_events")
    op.drop_table("audit_seals")
