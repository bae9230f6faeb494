"""Checks before `flask up` starts anything; each problem is reported in one sentence."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError, ResponseError
from redis.retry import Retry
from sqlalchemy.exc import SQLAlchemyError

from app.extensions import NO_CLUSTER, db
from app.queue import queue_state
from app.schema import current_revision, first_line, known_revisions, newest_revision
from app.settings import Settings

BACKLOG = 2048
DISK_MEBIBYTES = 16
# A run that was killed may still be finishing its last requests on the port.
KILLED_RUN_SECONDS = 8


class CannotStart(click.ClickException):
    """Something prevents the start; the message says what, and what to do."""


@contextmanager
def only_run_on(instance: Path) -> Iterator[bool]:
    """Lock `instance` for this run; returns whether the previous run was killed. Raises CannotStart."""
    check_folder(instance)
    with (instance / "up.lock").open("a+") as lock:
        lock.seek(0)
        earlier = lock.read().strip()
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CannotStart(
                f"Gatehouse already runs on {instance} (process {earlier or 'unknown'}); "
                "stop it first, or set INSTANCE_PATH to another folder."
            ) from None
        _write(lock.fileno(), str(os.getpid()))
        try:
            yield bool(earlier)
        finally:
            _write(lock.fileno(), "")


def check_folder(instance: Path) -> None:
    """Raise CannotStart unless `instance` can be written to and its disk has room."""
    try:
        instance.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=instance) as probe:
            probe.write(bytes(4096))
        disk = os.statvfs(instance)
    except OSError as problem:
        if problem.errno == errno.ENOSPC:
            raise CannotStart(f"The disk that holds {instance} is full; free some space.") from None
        raise CannotStart(
            f"Cannot write to {instance}: {problem.strerror}. Set INSTANCE_PATH to a folder that can be written."
        ) from None
    left = disk.f_bavail * disk.f_frsize // 2**20
    if left < DISK_MEBIBYTES:
        raise CannotStart(f"The disk that holds {instance} is full: {left} MiB are left, {DISK_MEBIBYTES} are needed.")


def listen(host: str, port: int, *, patience: float = 0) -> socket.socket:
    """The web's listening socket, tried for `patience` seconds. A restart of web refuses no connection."""
    deadline = time.monotonic() + patience
    while True:
        try:
            return _bound(host, port)
        except OSError as problem:
            if problem.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                raise CannotStart(_why_no_listener(problem, host, port)) from None
        time.sleep(0.2)


def check_database(settings: Settings) -> bool:
    """Whether it needs migrations. Raises CannotStart if it cannot be used, or is newer than this code."""
    file = settings.database.database
    if (
        settings.database.get_backend_name() == "sqlite"
        and file
        and Path(file).exists()
        and not os.access(file, os.W_OK)
    ):
        raise CannotStart(f"The database {file} cannot be written; change its owner or mode, or set DATABASE_URL.")
    try:
        revision = current_revision()
    except SQLAlchemyError as problem:
        raise CannotStart(
            f"The database cannot be reached: {first_line(problem)}. DATABASE_URL says where it is."
        ) from None
    finally:
        db.engine.dispose()
    if revision is not None and revision not in known_revisions():
        raise CannotStart(
            f"The database has migration {revision}, which this code does not know: it comes from a newer version. "
            "Run that version, or restore a backup made by this one."
        )
    return revision != newest_revision()


def check_queue(url: str) -> str | None:
    """A warning about the queue at `url`, if any. Raises CannotStart if it can never work."""
    client = Redis.from_url(url, socket_connect_timeout=3, socket_timeout=3, retry=Retry(NoBackoff(), 0))
    state = queue_state(client)
    if state == "cluster":
        raise CannotStart(NO_CLUSTER)
    try:
        policy = client.config_get("maxmemory-policy").get("maxmemory-policy", "unknown")
    except AuthenticationError:
        raise CannotStart("The server at REDIS_URL refuses its user name or password.") from None
    except ResponseError:
        return "The server at REDIS_URL does not say its maxmemory-policy; make sure that it is noeviction."
    except RedisError:
        return "The server at REDIS_URL cannot be reached; pages work, and jobs wait until it is back."
    finally:
        client.close()
    if policy != "noeviction":
        raise CannotStart(
            f"The server at REDIS_URL may throw jobs away: its maxmemory-policy is {policy}, and must be noeviction."
        )
    return "The server at REDIS_URL takes no writes; pages work, and jobs wait." if state == "unwritable" else None


def _write(file: int, content: str) -> None:
    os.ftruncate(file, 0)
    os.pwrite(file, content.encode(), 0)


def _bound(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _why_no_listener(problem: OSError, host: str, port: int) -> str:
    if problem.errno == errno.EADDRINUSE:
        return f"Port {port} is taken; choose another, for example: PORT={port % 65535 + 1} make run"
    if problem.errno in {errno.EACCES, errno.EPERM}:
        return f"Port {port} is not open to you; choose one above 1023, for example: PORT=8000 make run"
    return f"HOST={host} is not an address of this machine: {problem.strerror or problem}."
