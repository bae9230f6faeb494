"""Seals that attest the retention, and triggers for details, new events, pruning and TRUNCATE.

Seals made before stay as they are, with the hash of version 1.

Revision ID: 0021
Revises: 0020
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
REFUSED = "the audit log is append-only"
# Nobody who was erased, and no event that was pruned.
KEPT = (
    "(OLD.subject_id IS NULL OR EXISTS (SELECT 1 FROM users WHERE id = OLD.subject_id)) AND NOT EXISTS ("
    "SELECT 1 FROM audit_seals WHERE pruned_at IS NOT NULL AND OLD.event_id BETWEEN first_id AND last_id)"
)
RETENTION = "(SELECT retention_days FROM audit_seals ORDER BY id DESC LIMIT 1)"
TOO_EARLY = {
    "sqlite": f"julianday(NEW.pruned_at) < julianday(OLD.sealed_at) + {RETENTION} - 0.00001",
    "postgresql": f"NEW.pruned_at < OLD.sealed_at + make_interval(days => {RETENTION}::int)",
}
OLD_COLUMNS = ["id", "first_id", "last_id", "previous_hash", "hash", "sealed_at"]
NEW_COLUMNS = ["version", "retention_days", "pruned_through"]


def _dialect() -> str:
    return op.get_context().dialect.name


def _is_seal_changed(columns: list[str]) -> str:
    """SQLite knows `IS DISTINCT FROM` since 3.39 only, and PostgreSQL compares no JSON."""
    if _dialect() == "sqlite":
        changes = [f"NEW.{name} IS NOT OLD.{name}" for name in [*columns, "entries"]]
    else:
        changes = [f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in columns]
        changes.append("NEW.entries::text IS DISTINCT FROM OLD.entries::text")
    return " OR ".join([*changes, "OLD.pruned_at IS NOT NULL"])


def _create(name: str, table: str, event: str, condition: str) -> None:
    """A trigger that refuses rows that meet `condition`."""
    if _dialect() == "sqlite":
        # Before an INSERT the new id is not known.
        when = "AFTER" if event == "INSERT" else "BEFORE"
        op.execute(
            f"CREATE TRIGGER {name} {when} {event} ON {table} WHEN {condition} "
            f"BEGIN SELECT RAISE(ABORT, '{REFUSED}'); END"
        )
        return
    kept = "OLD" if event == "DELETE" else "NEW"
    op.execute(
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF {condition} THEN RAISE EXCEPTION '{REFUSED}'; END IF; RETURN {kept}; END $$"
    )
    op.execute(f"CREATE TRIGGER {name} BEFORE {event} ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()")


def _drop(name: str, table: str) -> None:
    if _dialect() == "sqlite":
        op.execute(f"DROP TRIGGER {name}")
    else:
        op.execute(f"DROP TRIGGER {name} ON {table}")
        op.execute(f"DROP FUNCTION {name}()")


def upgrade() -> None:
    op.add_column("audit_seals", sa.Column("version", BigId, nullable=False, server_default="1"))
    op.add_column("audit_seals", sa.Column("retention_days", BigId))
    op.add_column("audit_seals", sa.Column("pruned_through", BigId))
    _drop("audit_seals_update", "audit_seals")
    may_not_prune = f"COALESCE({RETENTION}, 0) < 1 OR {TOO_EARLY[_dialect()]}"
    changed = _is_seal_changed(OLD_COLUMNS + NEW_COLUMNS)
    _create(
        "audit_seals_update",
        "audit_seals",
        "UPDATE",
        f"{changed} OR (NEW.pruned_at IS NOT NULL AND ({may_not_prune}))",
    )
    _create("audit_details_delete", "audit_details", "DELETE", KEPT)
    _create("audit_events_insert", "audit_events", "INSERT", "NEW.id < 1")
    if _dialect() == "postgresql":
        op.execute(
            "CREATE FUNCTION audit_truncate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            f"RAISE EXCEPTION '{REFUSED}'; END $$"
        )
        for table in ("audit_events", "audit_details", "audit_seals"):
            op.execute(
                f"CREATE TRIGGER {table}_truncate BEFORE TRUNCATE ON {table} "
                "FOR EACH STATEMENT EXECUTE FUNCTION audit_truncate()"
            )


def downgrade() -> None:
    """The earlier release takes the seals of version 2 for altered ones."""
    if _dialect() == "postgresql":
        for table in ("audit_events", "audit_details", "audit_seals"):
            op.execute(f"DROP TRIGGER {table}_truncate ON {table}")
        op.execute("DROP FUNCTION audit_truncate()")
    _drop("audit_events_insert", "audit_events")
    _drop("audit_details_delete", "audit_details")
    _drop("audit_seals_update", "audit_seals")
    for name in ("pruned_through", "retention_days", "version"):
        op.drop_column("audit_seals", name)
    _create("audit_seals_update", "audit_seals", "UPDATE", _is_seal_changed(OLD_COLUMNS))
