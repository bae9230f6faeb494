"""`flask prepare`: checks and migrations that `make run` needs before it starts the processes."""

import errno
import json
import os
import shlex
import socket
import sys
import tempfile
from pathlib import Path

import click
from flask.cli import with_appcontext
from flask_migrate import upgrade
from redis.exceptions import AuthenticationError, RedisError, ResponseError
from sqlalchemy.exc import SQLAlchemyError

from app.core.extensions import db, settings
from app.core.migration_state import current_revision, first_line, known_revisions, newest_revision
from app.core.redis_client import connect
from app.core.settings import CoreSettings
from app.jobs.notifier import NO_CLUSTER
from app.jobs.redis_queue import queue_state
from app.ops.migrations import init_migrate, report_change

MIN_FREE_MEBIBYTES = 16
GREETING = """
  Gatehouse is starting at  {url}
{emails}  Create an administrator:  {flask} users create you@example.com --name "You" --role administrator
  Press Ctrl-C to stop.
"""


class CannotStart(click.ClickException):
    """Something prevents the start; the message says what, and what to do."""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Also print the processes to start, for `make run`.")
@with_appcontext
def prepare(as_json: bool) -> None:
    """Check the environment and migrate the database."""
    config = settings()
    check_folder(config.instance_path)
    check_port(config)
    if check_database(config):
        migrate()
    if not config.redis_url:
        check_embedded_valkey(config)
    elif warning := check_queue(config.redis_url):
        click.echo(warning, err=True)
    if as_json:
        click.echo(greeting(config), err=True)
        click.echo(json.dumps(what_to_start(config)))


def what_to_start(config: CoreSettings) -> dict[str, object]:
    """Return Procfile, folder of the embedded Valkey (None with REDIS_URL), metrics folder and environment."""
    return {
        "procfile": "Procfile.dev" if config.is_development else "Procfile",
        "valkey": None if config.redis_url else str(config.instance_path / "valkey"),
        "metrics": str(config.metrics_folder),
        # gunicorn does not read .flaskenv.
        "environment": {"ENVIRONMENT": config.environment},
    }


def check_folder(instance: Path) -> None:
    """Raise CannotStart unless `instance` can be written to and its disk has room."""
    try:
        instance.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=instance) as probe:
            probe.write(bytes(4096))
        disk = os.statvfs(instance)
    except OSError as problem:
        if problem.errno == errno.ENOSPC:
            raise CannotStart(f"The disk that holds {instance} is full. Free some space.") from None
        raise CannotStart(
            f"Cannot write to {instance}: {problem.strerror}. Set INSTANCE_PATH to a writable folder."
        ) from None
    left = disk.f_bavail * disk.f_frsize // 2**20
    if left < MIN_FREE_MEBIBYTES:
        raise CannotStart(f"The disk that holds {instance} is full: {left} MiB left, {MIN_FREE_MEBIBYTES} needed.")


def check_port(config: CoreSettings) -> None:
    """Raise CannotStart unless the web can listen on HOST and PORT."""
    for host, port in config.listen_addresses:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, kind, protocol) as listener:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(address)
        except OSError as problem:
            raise CannotStart(_why_no_listener(problem, config.host, port)) from None


def check_database(config: CoreSettings) -> bool:
    """Return whether the database needs migrations. Raises CannotStart if it is unusable or newer than this code."""
    file = config.database.database
    if config.database.get_backend_name() == "sqlite" and file and Path(file).exists() and not os.access(file, os.W_OK):
        raise CannotStart(f"The database {file} is not writable. Change its owner or mode, or set DATABASE_URL.")
    try:
        revision = current_revision()
    except SQLAlchemyError as problem:
        raise CannotStart(f"Can't reach the database: {first_line(problem)}. Check DATABASE_URL.") from None
    finally:
        db.engine.dispose()
    if revision is not None and revision not in known_revisions():
        raise CannotStart(
            f"The database has migration {revision}, which this version does not know. It comes from a newer version. "
            "Run the newer version, or restore a backup of this one."
        )
    return revision != newest_revision()


def migrate() -> None:
    """Raises CannotStart."""
    init_migrate()
    try:
        report_change(upgrade)()
    except SQLAlchemyError as problem:
        raise CannotStart(f"Can't migrate the database: {first_line(problem)}.") from None


def check_embedded_valkey(config: CoreSettings) -> None:
    """Raise CannotStart if another run uses this folder, or an earlier one was killed and left its parts behind."""
    if not config.queue_url:
        return
    with connect(config.queue_url) as client:
        try:
            pid = client.info("server")["process_id"]
        except RedisError:
            return  # Valkey was killed and left its URL behind.
    raise CannotStart(
        f"Gatehouse already runs on {config.instance_path} (its Valkey is process {pid}). "
        "Stop it first, or set INSTANCE_PATH to another folder."
    )


def check_queue(url: str) -> str | None:
    """Return a warning about the queue at `url`, or an empty string. Raises CannotStart if it can never work."""
    client = connect(url)
    state = queue_state(client)
    if state == "cluster":
        raise CannotStart(NO_CLUSTER)
    try:
        policy = client.config_get("maxmemory-policy").get("maxmemory-policy", "unknown")
    except AuthenticationError:
        raise CannotStart("The server at REDIS_URL refuses its user name or password.") from None
    except ResponseError:
        return "Can't read the maxmemory-policy of the server at REDIS_URL. Check that it is noeviction."
    except RedisError:
        return "Can't reach the server at REDIS_URL. Pages work, and jobs wait until it is back."
    finally:
        client.close()
    if policy != "noeviction":
        raise CannotStart(
            f"The server at REDIS_URL can lose jobs: its maxmemory-policy is {policy}. Set it to noeviction."
        )
    return "The server at REDIS_URL refuses writes. Pages work, and jobs wait." if state == "unwritable" else None


def greeting(config: CoreSettings) -> str:
    shows_emails = config.is_development and not config.mail_url.get_secret_value()
    emails = f"  Emails are shown at       {config.public_url}/dev/mailbox\n" if shows_emails else ""
    return GREETING.format(url=config.public_url, emails=emails, flask=_flask())


def _flask() -> str:
    """Return the `flask` command to type here for the data of this run."""
    path = Path(sys.executable).with_name("flask")
    typed = shlex.quote(str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path))
    instance = os.environ.get("INSTANCE_PATH")
    # The URL of a database may hold a password, which must not be printed.
    database = 'DATABASE_URL="..." ' if os.environ.get("DATABASE_URL") else ""
    return f"{f'INSTANCE_PATH={shlex.quote(instance)} ' if instance else ''}{database}{typed}"


def _why_no_listener(problem: OSError, host: str, port: int) -> str:
    if problem.errno == errno.EADDRINUSE:
        return f"Port {port} is in use. Choose another, for example: PORT={port % 65535 + 1} make run"
    if problem.errno in {errno.EACCES, errno.EPERM}:
        return f"Port {port} needs more privileges. Choose one above 1023, for example: PORT=8000 make run"
    return f"HOST={host} is not an address of this machine: {problem.strerror or problem}."
