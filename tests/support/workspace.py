"""Where a run of the tests keeps its servers: short paths (a socket's is limited), one folder a run."""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# For `localhost`, made once for a hundred years; the key protects nothing but these tests.
CERTIFICATE = Path(__file__).with_name("certificate") / "certificate.pem"
KEY = CERTIFICATE.with_name("key.pem")


def worker_name() -> str:
    return os.environ.get("PYTEST_XDIST_WORKER", "main")


def run_folder() -> Path:
    """One folder for all workers of this run; PostgreSQL, which never runs as root, must be able to enter it."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", f"{os.getpid():x}")[:8]
    folder = Path(tempfile.gettempdir()) / f"gatehouse-{run}"
    folder.mkdir(mode=0o755, exist_ok=True)
    return folder


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def one_worker_at_a_time(name: str) -> Iterator[None]:
    with (run_folder() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
