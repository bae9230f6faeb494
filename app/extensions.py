"""Flask extensions, created unbound; the factory binds them to the application."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from flask import Flask, current_app
from flask_limiter import Limiter
from flask_login import LoginManager
from flask_sqlalchemy import SQLAlchemy
from flask_sqlalchemy.session import Session as FlaskSession
from flask_wtf import CSRFProtect
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.metrics import metrics
from app.models import Base, complete_indexes
from app.patience import of_requests
from app.security.passwords import Passwords
from app.security.pwned_passwords import by_file, by_list, by_service, never
from app.services.job_queue import DueJob
from app.services.password_policy import PasswordPolicy
from app.settings import Settings, SettingsError

if TYPE_CHECKING:
    from redis import Redis

    from app.redis_queue import Workers

log = logging.getLogger(__name__)

NO_CLUSTER = "The server at REDIS_URL is a cluster, which RQ does not support. Use a single or replicated server."


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


class QueueNotifier:
    """Notifies the workers through RQ. It stores nothing: the scheduler repeats a lost notification."""

    def init_app(self, app: Flask, settings: Settings) -> None:
        app.extensions["queue"] = queue_client().connect(settings.queue_url) if settings.queue_url else None

    @property
    def connection(self) -> Redis | None:
        """Return the application's queue client; None without a queue."""
        return cast("Redis | None", current_app.extensions["queue"])

    def notify(self, due_jobs: Iterable[DueJob]) -> None:
        """Push the IDs; log an unreachable queue. Nothing is lost."""
        if self.connection is None:
            return
        client = queue_client()
        try:
            for due in due_jobs:
                client.call_worker(self.connection, due)
        except client.RedisError as problem:
            _log_away(problem)

    def lengths(self) -> dict[str, int]:
        """Return the number of notifications in each queue; empty if the queue is unreachable."""
        if self.connection is None:
            return {}
        client = queue_client()
        try:
            return cast("dict[str, int]", client.lengths(self.connection))
        except client.RedisError as problem:
            _log_away(problem)
            return {}

    def record_heartbeat(self) -> None:
        """Record that the schedule is running."""
        if self.connection is not None:
            queue_client().record_heartbeat(self.connection, at=now(), lives=3 * settings().schedule_seconds + 60)

    def find_workers(self) -> Workers | None:
        """Return the workers and the last run of the schedule, or None if the queue is away."""
        return None if self.connection is None else cast("Workers | None", queue_client().find_workers(self.connection))

    def state(self) -> str:
        """Return `ok`; `missing` without a server or response; `unwritable`; `cluster`, which RQ does not support."""
        return "missing" if self.connection is None else queue_client().queue_state(self.connection)


def _log_away(problem: Exception) -> None:
    log.warning("the queue is away; jobs wait for the schedule", extra={"reason": type(problem).__name__})


def queue_client() -> ModuleType:
    """Return the module for Redis, imported only where there is one."""
    from app import redis_queue  # noqa: PLC0415 - Redis and RQ are loaded where there is a queue.

    return redis_queue


class Credentials:
    """The password hasher and the password policy of the running application, created from its settings."""

    def init_app(self, app: Flask, settings: Settings) -> None:
        passwords = Passwords(
            memory_kib=settings.argon2_memory_kib,
            time_cost=settings.argon2_time_cost,
            parallelism=settings.argon2_parallelism,
            at_once=settings.hashing_concurrency,
            observe=metrics.hashed,
        )
        app.extensions["passwords"] = passwords
        app.extensions["password_policy"] = PasswordPolicy(
            passwords=passwords,
            min_length=settings.password_min_length,
            max_length=settings.password_max_length,
            site_words=[settings.site_name, settings.public_url],
            is_breached=breach_check(settings),
        )

    @property
    def passwords(self) -> Passwords:
        return cast(Passwords, current_app.extensions["passwords"])

    @property
    def policy(self) -> PasswordPolicy:
        return cast(PasswordPolicy, current_app.extensions["password_policy"])


def breach_check(settings: Settings) -> Callable[[str], bool]:
    """Return the checks that BREACH_CHECK selects; each larger one includes our own list."""
    if settings.breach_check == "off":
        return never
    checks: list[Callable[[str], bool]] = [by_list]
    if settings.breach_check == "file" and settings.breach_check_file:
        checks.append(by_file(settings.breach_check_file))
    if settings.breach_check == "service":
        checks.append(by_service(settings.breach_check_url, timeout=settings.breach_check_timeout_seconds))
    return lambda password: any(check(password) for check in checks)


# Raised when the database is unreachable, busy, full or read-only (a standby: InternalError).
DATABASE_AWAY = (OperationalError, InternalError, PoolTimeout)

NETWORK_FILE_SYSTEMS = {"afs", "ceph", "cifs", "fuse.glusterfs", "fuse.sshfs", "ncpfs", "nfs", "nfs4", "smb3", "smbfs"}

db = SQLAlchemy(model_class=Base, session_options={"class_": ReadOnlySession}, disable_autonaming=True)
login_manager = LoginManager()
csrf = CSRFProtect()
limiter = Limiter(key_func=lambda: "")  # Each rate limit names its own key.
notifier = QueueNotifier()
credentials = Credentials()


def settings() -> Settings:
    """Return the running application's settings."""
    return cast(Settings, current_app.extensions["settings"])


def now() -> datetime:
    """Return the application's current time in UTC; tests set their own clock."""
    clock = current_app.extensions.get("clock")
    return clock() if clock else datetime.now(UTC)


def init_database(app: Flask, settings: Settings) -> None:
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
        import_module("app.postgresql").limit_waits(engine, threads=settings.web_threads)
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
