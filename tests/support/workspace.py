"""The folder of a test run's servers: short paths (a socket's is limited), one folder for each run."""

from __future__ import annotations

import fcntl
import os
import secrets
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# For `localhost`, valid for a hundred years; the key protects nothing but these tests.
CERTIFICATE = Path(__file__).with_name("certificate") / "certificate.pem"
KEY = CERTIFICATE.with_name("key.pem")
PORTS = range(20000, 32000)  # below Linux's ports for clients and port 0, 32768 to 60999


def worker_name() -> str:
    return os.environ.get("PYTEST_XDIST_WORKER", "main")


def run_folder() -> Path:
    """One folder for all workers of this run; PostgreSQL's user must be able to enter it."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", f"{os.getpid():x}")[:8]
    folder = Path(tempfile.gettempdir()) / f"gatehouse-{run}"
    folder.mkdir(mode=0o755, exist_ok=True)
    return folder


@contextmanager
def one_worker_at_a_time(name: str) -> Iterator[None]:
    with (run_folder() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def free_port() -> int:
    """Return a port that no other test of this run gets and that the system does not assign itself."""
    with one_worker_at_a_time("ports"):
        last = run_folder() / "port"
        port = int(last.read_text()) if last.exists() else secrets.choice(PORTS)
        while True:
            port = port + 1 if port + 1 in PORTS else PORTS.start
            last.write_text(str(port))
            with suppress(OSError), socket.create_server(("127.0.0.1", port)):
                return port
