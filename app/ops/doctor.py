"""`flask doctor`: checks of the installation, with suggested fixes."""

import os
import socket
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import wraps
from pathlib import Path
from urllib.parse import urlsplit

import click
from flask.cli import with_appcontext
from sqlalchemy import func, select, text
from sqlalchemy.exc import ProgrammingError, SQLAlchemyError
from werkzeug.utils import import_string

from app.core.disk_space import list_full_disks
from app.core.env_file import list_ambiguous, read_env_file
from app.core.extensions import db, features, now, settings
from app.core.migration_state import current_revision, first_line, schema_state
from app.core.settings import is_loopback
from app.jobs.models import JobState
from app.jobs.notifier import NO_CLUSTER, notifier
from app.jobs.services.board import JobFilter
from app.jobs.services.queue import OVERDUE
from app.mail.sender import check_server
from app.ops.doctor_external import Unreachable, looked_at
from app.unit_of_work import reading
from app.users.models import ADMINISTRATOR
from app.web.command_output import json_option, print_json

MIN_POSTGRESQL_VERSION = 14
MAX_CLOCK_SKEW_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """A result: `state` is ok, warning or error; `advice` is the fix, or empty."""

    what: str
    state: str
    advice: str = ""


Check = Callable[[], Iterator[Finding]]


def verdict(what: str, is_ok: bool, advice: str, *, otherwise: str = "error") -> Finding:
    """Return a finding that is ok, or of the state `otherwise` with the advice."""
    return Finding(what, "ok" if is_ok else otherwise, "" if is_ok else advice)


def with_database(check: Check) -> Check:
    """Skip a check without a usable database, which `check_database` reports."""

    @wraps(check)
    def checked() -> Iterator[Finding]:
        with suppress(SQLAlchemyError):
            yield from check() if has_database() else ()

    return checked


@click.command()
@json_option
@with_appcontext
def doctor(as_json: bool) -> None:
    """Check the installation, and suggest fixes.

    Exit code 1 if there is an error.
    """
    checks = [*CHECKS, *(import_string(place) for place in features().checks)]
    findings = [finding for check in checks for finding in check()]
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            click.echo(f"{finding.state:<8} {finding.what}" + (f": {finding.advice}" if finding.advice else ""))
    if any(finding.state == "error" for finding in findings):
        sys.exit(1)


def check_settings() -> Iterator[Finding]:
    config = settings()
    yield Finding(f"settings for {config.environment}", "ok")
    if config.is_development and config.public_url.startswith("https:"):
        advice = "set ENVIRONMENT=production in the file that ENV_FILE names; .flaskenv sets development for commands"
        yield Finding("ENVIRONMENT is development, and BASE_URL is https", "error", advice)
    if config.is_live and not config.database_url:
        advice = f"data is stored in SQLite at {config.database.database}; set DATABASE_URL to use another database"
        yield Finding("DATABASE_URL is not set", "warning", advice)
    if config.is_live and not config.base_url:
        advice = "links in emails don't work; set it to the site's address, like https://accounts.example.com"
        yield Finding("BASE_URL is not set", "error", advice)
    if config.is_live and not config.trusted_proxies:
        advice = "slow clients block others; run the site behind a buffering proxy"
        yield Finding("TRUSTED_PROXIES is 0", "warning", advice)
    if config.breach_check == "off" and config.is_live:
        advice = "remove it, or set it to service or file, to refuse breached passwords"
        yield Finding("BREACH_CHECK is off", "warning", advice)


def check_connections() -> Iterator[Finding]:
    """Check that connections can't be read or forged on the network, or by other users of this machine."""
    config = settings()
    database, queue = config.database, urlsplit(config.queue_url)
    modes = {"require", "verify-ca", "verify-full"}
    if _is_elsewhere(database.host) and database.query.get("sslmode") not in modes:
        advice = (
            "add ?sslmode=verify-full&sslrootcert=system to DATABASE_URL; without it, the connection can be unencrypted"
        )
        yield Finding(f"TLS to PostgreSQL at {database.host} is not required", "warning", advice)
    if queue.scheme == "redis" and _is_elsewhere(queue.hostname):
        yield Finding(f"no TLS to Redis at {queue.hostname}", "warning", "use rediss:// in REDIS_URL")
    if queue.scheme in {"redis", "rediss"} and not queue.password:
        advice = "set requirepass in Redis and REDIS_URL=redis://:PASSWORD@HOST, or use a Unix socket"
        yield Finding("Redis accepts connections without a password", "warning", advice)


def _is_elsewhere(host: str | None) -> bool:
    return bool(host) and not str(host).startswith("/") and not is_loopback(str(host))


def has_database() -> bool:
    """Return whether the database exists; connecting to SQLite would create it."""
    url = settings().database
    return url.get_backend_name() != "sqlite" or Path(url.database or "").exists()


def check_database() -> Iterator[Finding]:
    if not has_database():
        advice = f"run `flask db upgrade`, or set DATABASE_URL; {settings().database.database} does not exist"
        yield Finding("database is missing", "error", advice)
        return
    try:
        current_revision()
    except SQLAlchemyError as problem:
        reason = first_line(problem)
        fix = next((advice for words, advice in DATABASE_CAUSES if words in reason), "check DATABASE_URL")
        yield Finding("database", "error", f"{reason}; {fix}")
        return
    _, migrations = schema_state()
    yield from _about_database()
    yield from _disk_of_database()
    if migrations == "newer":
        yield Finding("migrations", "warning", "the database is newer than this code; finish the upgrade")
    else:
        yield verdict("migrations", migrations == "ok", "run `flask db upgrade`")


def _about_database() -> Iterator[Finding]:
    with db.engine.connect() as connection:
        dialect, driver = connection.dialect.name, connection.dialect
        if dialect == "sqlite":
            yield Finding(f"database: SQLite {'.'.join(map(str, driver.server_version_info or ()))}", "ok")
            return
        version = driver.server_version_info or ()
        advice = f"use PostgreSQL {MIN_POSTGRESQL_VERSION} or newer"
        yield verdict(
            f"database: PostgreSQL {'.'.join(map(str, version))}", version >= (MIN_POSTGRESQL_VERSION,), advice
        )
        skew = (connection.execute(select(func.clock_timestamp())).scalar_one() - now()).total_seconds()
    if abs(skew) > MAX_CLOCK_SKEW_SECONDS:
        yield Finding(
            f"the database's clock is {abs(skew):.0f} s {'ahead' if skew > 0 else 'behind'}",
            "warning",
            "run an NTP client on both machines; links and sessions expire by these clocks",
        )


def _disk_of_database() -> Iterator[Finding]:
    """Check for free space by creating and dropping a table: a full disk shows only when writing."""
    if db.engine.dialect.name == "sqlite":
        return  # `check_instance` looks at its folder.
    try:
        with db.engine.connect() as connection:
            connection.execute(text(PROBE))
            connection.rollback()
    except ProgrammingError:
        return  # The database role can't create temporary tables.
    except SQLAlchemyError as problem:
        yield Finding("disk of the database", "error", f"it refuses writes: {first_line(problem)}; free some space")


@with_database
def check_administrator() -> Iterator[Finding]:
    has_administrator = any(user.can_sign_in() for user in reading().roles.list_holders(ADMINISTRATOR))
    advice = "create one: flask users create you@example.com --name You --role administrator"
    yield verdict("an administrator who can sign in", has_administrator, advice, otherwise="warning")


def check_queue() -> Iterator[Finding]:
    if notifier.connection is None:
        yield Finding("queue", "warning", "set REDIS_URL; until then, workers look for jobs less often")
        return
    state, advice = QUEUE_STATES[notifier.state()]
    yield Finding("queue", state, advice)
    if state != "ok":
        return
    from redis.exceptions import RedisError  # noqa: PLC0415 - loaded where there is a queue.

    try:
        policy = dict(notifier.connection.config_get("maxmemory-policy")).get("maxmemory-policy")
    except RedisError:
        yield Finding("queue eviction", "warning", "CONFIG GET is refused; check that maxmemory-policy is noeviction")
        return
    if policy != "noeviction":
        yield Finding("queue eviction", "error", f"maxmemory-policy is {policy}; set noeviction, or jobs are lost")


def check_workers() -> Iterator[Finding]:
    workers = notifier.find_workers()
    if workers is None or settings().environment == "testing":
        return
    alive = workers.list_alive(now(), busy=_busy_workers())
    advice = "emails and jobs wait; start `flask jobs worker`"
    yield verdict(f"workers: {len(alive)}", bool(alive), advice, otherwise="warning")
    if workers.last_run_at is None:
        yield Finding("schedule", "warning", "retries and purges wait; start `flask jobs worker`")
    hosts = sorted({worker.name.rpartition(":")[0] for worker in alive} | {socket.gethostname()})
    if settings().database.get_backend_name() == "sqlite" and len(hosts) > 1:
        yield Finding(
            f"SQLite with several hosts ({', '.join(hosts)})", "error", "each host has its own database; use PostgreSQL"
        )


def _busy_workers() -> set[str | None]:
    try:
        return set() if not has_database() else reading().job_board.busy_workers()
    except SQLAlchemyError:
        return set()


@with_database
def check_jobs() -> Iterator[Finding]:
    dead = len(reading().job_board.list(JobFilter((JobState.DEAD,)), limit=1000))
    overdue = reading().job_queue.count_overdue(by=OVERDUE)
    if dead:
        yield Finding(f"dead jobs: {dead}", "warning", "list them with `flask jobs list --state dead`")
    if overdue:
        yield Finding(
            f"overdue jobs: {overdue}", "warning", "no worker has claimed them; start more workers, or check the log"
        )


def check_mail() -> Iterator[Finding]:
    url = settings().mail_url.get_secret_value()
    if not url and settings().is_live:
        yield Finding("MAIL_URL is not set", "error", "emails wait; set smtp://user:password@host:587")
        return
    if not url:
        yield Finding("emails go to the development mailbox", "ok")
        return
    parts = urlsplit(url)
    problem = check_server(settings())
    yield verdict("mail server", not problem, f"{parts.hostname} does not accept email: {problem}; check MAIL_URL")


def check_outside() -> Iterator[Finding]:
    """Check BASE_URL from outside, if users come from other machines."""
    config = settings()
    if not config.is_live or not config.base_url:
        return
    try:
        address, wrong = looked_at(config)
    except Unreachable as problem:
        # A firewall between here and there may not affect other clients.
        elsewhere = "start the web server and the proxy, or check from another machine with `make smoke`"
        state = "error" if problem.advice else "warning"
        advice = f"{problem}; {problem.advice or elsewhere}"
        yield Finding(f"{config.public_url} can't be reached from here", state, advice)
        return
    for what, advice in wrong:
        yield Finding(what, "error", advice)
    if address:
        yield Finding(f"{config.public_url} sees this machine as {address}", "ok")


def check_env_file() -> Iterator[Finding]:
    named = settings().env_file
    file = named or Path(".env")
    # The services read ENV_FILE as its group.
    others, mode = (0o007, "640") if named else (0o077, "600")
    if file.is_file() and stat.S_IMODE(file.stat().st_mode) & others:
        state = "error" if settings().is_live else "warning"
        yield Finding(
            f"{file} can be read by others", state, f"it contains secrets; run chmod {mode} {file.absolute()}"
        )
    if named is None:
        return
    if names := list_ambiguous(named):
        advice = "systemd (EnvironmentFile=) or a shell may read a different value; put the value in single quotes"
        yield Finding(f"{', '.join(names)} in {named}", "warning", advice)
    if names := [name for name in read_env_file(named) if not settings().is_setting(name)]:
        advice = "only Gatehouse reads this file; set variables of other programs in the unit, with Environment="
        yield Finding(f"{', '.join(names)} in {named}: no such setting", "warning", advice)


def check_instance() -> Iterator[Finding]:
    folder = settings().instance_path
    if not os.access(folder, os.W_OK):
        yield Finding("instance folder", "error", f"{folder} is not writable")
        return
    key = folder / "secret_key"
    if key.is_file() and stat.S_IMODE(key.stat().st_mode) & 0o077:
        yield Finding("secret key file", "error", f"others can read it; run chmod 600 {key}")
    full = [f"only {free // 2**20} MiB left at {place}" for place, free in list_full_disks(settings()).items()]
    yield verdict("disk space", not full, "; ".join(full), otherwise="warning")


PROBE = "CREATE TEMPORARY TABLE probe ON COMMIT DROP AS SELECT repeat('x', 1000) FROM generate_series(1, 4000)"
DATABASE_CAUSES = (
    ("Connection refused", "start PostgreSQL, or fix the host and port in DATABASE_URL"),
    ("resolve host", "fix the host in DATABASE_URL"),
    ("timeout", "fix the host in DATABASE_URL, or allow it in the firewall"),
    ("authentication failed", "fix the user and password in DATABASE_URL"),
    ("no password supplied", "add the password to DATABASE_URL"),
    ("does not exist", "create it, or fix its name in DATABASE_URL"),
)
QUEUE_STATES = {
    "ok": ("ok", ""),
    "missing": ("warning", "can't be reached; pages work, jobs wait"),
    "unwritable": ("error", "refuses writes: it is full, or a read-only replica; pages work, jobs wait"),
    "cluster": ("error", NO_CLUSTER),
}
CHECKS: tuple[Check, ...] = (
    check_settings,
    check_env_file,
    check_instance,
    check_connections,
    check_database,
    check_administrator,
    check_queue,
    check_workers,
    check_jobs,
    check_mail,
    check_outside,
)
