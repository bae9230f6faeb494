"""How Alembic runs here: one transaction, one migrator at a time, foreign keys checked after the fact on SQLite."""

from __future__ import annotations

from alembic import context
from flask import current_app
from sqlalchemy import Connection

from app.core.migration_state import include_object
from app.core.models import UtcTime

db = current_app.extensions["migrate"].db
metadata = db.metadatas[None]
LOCK_SECONDS = 10
LOCK = 0x6A7E  # Any number that every migrator of this application agrees on.


def render_item(kind: str, item: object, autogen_context: object) -> str | bool:
    """Write our time type by its own name."""
    if kind == "type" and isinstance(item, UtcTime):
        autogen_context.imports.add("from app.core.models import UtcTime")  # type: ignore[attr-defined]
        return "UtcTime()"
    return False


def run(connection: Connection) -> None:
    is_sqlite = connection.dialect.name == "sqlite"
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_item=render_item,
        include_object=include_object,
        transactional_ddl=True,
        **current_app.extensions["migrate"].configure_args,
    )
    with context.begin_transaction():
        if not is_sqlite:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
            # While a migration waits for a table, everybody else waits for the migration.
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
        context.run_migrations()
        if is_sqlite:
            broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
            if broken:
                raise RuntimeError(f"this migration would leave {len(broken)} rows without their parents")


if context.is_offline_mode():
    context.configure(dialect_name=db.engine.dialect.name, target_metadata=metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    with db.engine.execution_options(begin_immediate=True).connect() as connection:
        if connection.dialect.name == "sqlite":
            # A batch migration drops and re-makes tables; with foreign keys on, that deletes their children's rows.
            connection.connection.driver_connection.execute("PRAGMA foreign_keys=OFF")
        try:
            run(connection)
        finally:
            connection.rollback()
            if connection.dialect.name == "sqlite":
                connection.connection.driver_connection.execute("PRAGMA foreign_keys=ON")
