"""The database: Flask-SQLAlchemy, its read-only session, and the engines of SQLite and PostgreSQL."""

import os
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from flask import Flask, current_app
from flask_sqlalchemy import SQLAlchemy
from flask_sqlalchemy.session import Session as FlaskSession
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.core.metrics import metrics
from app.core.models import Base, complete_indexes
from app.core.patience import of_requests
from app.core.settings import CoreSettings, SettingsError

# Raised when the database is unreachable, busy, full or read-only (a standby: InternalError).
DATABASE_AWAY = (OperationalError, InternalError, PoolTimeout)

NETWORK_FILE_SYSTEMS = {"afs", "ceph", "cifs", "fuse.glusterfs", "fuse.sshfs", "ncpfs", "nfs", "nfs4", "smb3", "smbfs"}


class ReadOnlySession(FlaskSession):
    """The session that pages read with; to write, open a unit of work."""

    def flush(self, objects: Any = None) -> None:
        if self.new or self.dirty or self.deleted:
            raise RuntimeError("open `with unit_of_work()` to write")

    def close(self) -> None:
        """Close the session, even if the database is unreachable: nothing was written, and the page may be ready."""
        try:
            super().close()
        except DATABASE_AWAY:
            self.invalidate()


db = SQLAlchemy(model_class=Base, session_options={"class_": ReadOnlySession}, disable_autonaming=True)


def init_database(app: Flask, settings: CoreSettings) -> None:
    """Bind the database, and create its read and write engines once: creating each takes as long as a query."""
    if settings.database.get_backend_name() == "sqlite":
        settings.make_instance()
        _refuse_network(settings.database.database)
    db.init_app(app)
    with app.app_context():
        engine = db.engine
    complete_indexes(engine.dialect.name)
    if engine.dialect.name == "sqlite":
        tune_sqlite(engine)
    else:
        app.extensions["patience"] = of_requests(settings.database_patience_seconds)
        import_module("app.core.postgresql").limit_waits(engine, threads=settings.web_threads)
    event.listen(engine, "checkout", lambda *_: metrics.connections(1))
    event.listen(engine, "checkin", lambda *_: metrics.connections(-1))
    app.extensions["one_read"] = engine.execution_options(single_read=True)
    app.extensions["one_write"] = engine.execution_options(begin_immediate=True)


def _refuse_network(path: str | None) -> None:
    """Raises SettingsError for a SQLite file on a network file system, whose locks lose data."""
    kind = file_system(Path(path or "/"))
    if kind in NETWORK_FILE_SYSTEMS:
        raise SettingsError(
            f"DATABASE_URL: {path} is on {kind}, where SQLite loses data. Use PostgreSQL or a local disk."
        )


def file_system(path: Path, *, mounts: Path = Path("/proc/self/mounts")) -> str:
    """Return the type of the file system of `path`, as Linux names it, or an empty string."""
    try:
        lines = [line.split() for line in mounts.read_text().splitlines()]
    except OSError:
        return ""
    target = str(path.absolute())
    mounts_above = [(where, kind) for _, where, kind, *_ in lines if f"{target}/".startswith(f"{where.rstrip('/')}/")]
    return max(mounts_above, key=lambda mount: len(mount[0]), default=("", ""))[1]


def _make_private(path: str | None) -> None:
    """Create the SQLite file without permissions for others; its WAL files get the same mode."""
    if path and path != ":memory:" and not Path(path).exists():
        with suppress(OSError):  # If this fails, opening the database reports it.
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))


def one_read() -> Engine:
    """Return the engine for single SELECTs, which are consistent without a transaction."""
    return cast(Engine, current_app.extensions["one_read"])


def one_write() -> Engine:
    """Return the engine for transactions that write: on SQLite they take the write lock at their start."""
    return cast(Engine, current_app.extensions["one_write"])


def tune_sqlite(engine: Engine) -> None:
    """Make SQLite reliable: WAL, foreign keys, full durability, and writers that queue instead of failing.

    A transaction that reads first and writes later can fail with "database is locked" whatever the timeout, so a
    unit of work takes the write lock when it begins (`begin_immediate`).
    """

    @event.listens_for(engine, "do_connect")
    def _create(*_: Any) -> None:
        _make_private(engine.url.database)

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # The driver starts no transaction itself; `_begin` does.
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "busy_timeout=15000",
            "temp_store=MEMORY",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        if not options.get("single_read"):
            connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("begin_immediate") else "BEGIN")
