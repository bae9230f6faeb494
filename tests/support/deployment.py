"""The whole deployment as real processes on its own instance: web, worker, schedule and Valkey."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import psutil
from flask import Flask
from sqlalchemy import select

from app import create_app
from app.auth.password_setup import credentials
from app.core.principal import OPERATOR
from app.core.settings import ROOT
from app.jobs.models import Job
from app.mail.models import SentMail
from app.oauth.providers import read_providers
from app.settings import Settings
from app.unit_of_work import Work, reading, unit_of_work
from run import EmbeddedValkey
from tests.support.databases import SIGNING_KEY, emptied, emptied_file, let_go

PATIENCE_SECONDS = 120
FLASK = [sys.executable, "-m", "flask"]
# Cheap hashing, generous limits, and a short wait before due jobs are requeued.
QUICK = {
    "secret_key": SIGNING_KEY,
    "argon2_memory_kib": "8",
    "argon2_time_cost": "1",
    "limit_scale": "1000",
    "log_level": "WARNING",
    "database_patience_seconds": "60",
    "mail_timeout_seconds": "5",
    "job_lease_seconds": "30",
    "notify_again_seconds": "1",
    "schedule_seconds": "0.1",
    "web_processes": "1",
    "worker_processes": "1",
}

Found = TypeVar("Found")


# Replaces itself by the program `argv[2:]`, which gets SIGTERM when its parent `argv[1]` ends (1 is PR_SET_PDEATHSIG,
# prctl(2)). A `preexec_fn` could do the same, but forking a Python process with threads is unsafe.
LAUNCHER = """\
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""


def until(check: Callable[[], Found], *, why: Callable[[], str] = str) -> Found:
    """Poll until there is a result, and return it; `why` describes the state on a timeout."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    pause = threading.Event()
    while not (result := check()):
        assert time.monotonic() < deadline, f"not found within {PATIENCE_SECONDS} seconds: {why()}"
        pause.wait(0.02)
    return result


def task_of(kind: str, *, queue: str = "default", max_attempts: int = 8, **arguments: Any) -> Any:
    """A task as stored, for tasks that only the workers' application knows."""
    return SimpleNamespace(kind=kind, arguments=lambda: arguments, queue=queue, max_attempts=max_attempts)


def dying_with_parent(command: Sequence[str]) -> list[str]:
    """Wrap the command so that the kernel sends it SIGTERM when the thread that starts it ends; Linux only."""
    return (
        [sys.executable, "-IS", "-c", LAUNCHER, str(os.getpid()), *command] if sys.platform == "linux" else [*command]
    )


class Process:
    """A program of the deployment in its own process group with its own log."""

    def __init__(
        self, command: Sequence[str], *, environment: dict[str, str], log: Path, files: Sequence[int], folder: Path
    ) -> None:
        self.log = log
        with log.open("ab") as log_file:
            self._process = subprocess.Popen(
                dying_with_parent(command),
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log_file,
                stderr=log_file,
                pass_fds=files,
                process_group=0,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def children(self) -> list[int]:
        """Return its child processes: gunicorn's workers, the pool's workers."""
        return [child.pid for child in psutil.Process(self.pid).children()]

    def terminate(self) -> None:
        self._process.terminate()

    def wait(self) -> int:
        """Wait until it ends; return the exit code."""
        return self._process.wait(PATIENCE_SECONDS)

    def kill(self) -> None:
        """Kill the whole group at once, like a power failure."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()


class Deployment:
    """`folder` holds a migrated database; `settings`, named as in `app/core/settings.py`, reach the processes."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.valkey = EmbeddedValkey(folder / "valkey")
        self.processes: list[Process] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.settings = {
            **QUICK,
            "environment": "testing",
            "instance_path": str(folder),
            "host": "127.0.0.1",
            "port": str(self.port),
            "mail_url": "smtp://127.0.0.1:9",
            **settings,
        }

    def _settings(self, **changes: str) -> Settings:
        own = {name: value for name, value in self.settings.items() if not name.startswith("oauth_")}
        return Settings(**own | changes, oauth_providers=read_providers(self.settings))

    def stop(self) -> None:
        """Stop all processes, and wait for them."""
        running = [process for process in self.processes if process.is_alive()]
        for process in running:
            process.terminate()
        for process in running:
            process.wait()

    def empty(self, template: Path) -> None:
        """Delete all rows, for the next test of the module; `template` is a migrated SQLite file."""
        url = self.settings.get("database_url", "")
        if url:
            emptied(url)
        else:
            emptied_file(self.folder / template.name, template)

    def close(self) -> None:
        """Kill what still runs."""
        for process in self.processes:
            process.kill()
        self.processes.clear()
        self.valkey.kill()
        self._listener.close()
        shutil.rmtree(self._settings().metrics_folder, ignore_errors=True)
        if "app" in self.__dict__:
            let_go(self.app)

    # ── processes ──

    def start_web(self, *, application: str = "wsgi", tree: Path = ROOT) -> Process:
        """Start gunicorn on the deployment's listener and wait until it answers; `tree` is the code's folder."""
        file = self._listener.fileno()
        serve = [sys.executable, "-m", "gunicorn", "--bind", f"fd://{file}", f"{application}:app"]
        web = self.run("web", serve, files=[file], tree=tree)
        until(lambda: self._answers() or not web.is_alive())
        assert web.is_alive(), self.told()
        return web

    def _answers(self) -> bool:
        try:
            return bool(self.get("/healthz", timeout=1))
        except OSError:
            return False

    def start_worker(self, *, processes: int = 1, schedule: bool = False, application: str = "wsgi") -> Process:
        options = ["--processes", str(processes), "--schedule" if schedule else "--no-schedule"]
        return self.run("worker", [*FLASK, "--app", application, "jobs", "worker", *options])

    def start(self, name: str, *arguments: str) -> Process:
        """Start a `flask` command."""
        return self.run(name, [*FLASK, *arguments])

    def run(self, name: str, command: Sequence[str], *, files: Sequence[int] = (), tree: Path = ROOT) -> Process:
        """Start any program of the deployment."""
        log = self.folder / f"{name}.log"
        started = Process(command, environment=self.environment, log=log, files=files, folder=tree)
        self.processes.append(started)
        return started

    @cached_property
    def environment(self) -> dict[str, str]:
        """Return this process's environment with the deployment's settings; coverage is not measured there."""
        ours = {name: value for name, value in os.environ.items() if name.lower() not in Settings.model_fields}
        ours.pop("COVERAGE_PROCESS_CONFIG", None)
        return ours | {name.upper(): value for name, value in self.settings.items()} | {"FLASK_APP": "wsgi"}

    # ── inspection ──

    @cached_property
    def app(self) -> Flask:
        """An application in this process on the same database and queue."""
        return create_app(self._settings(sentry_dsn=""))

    @contextmanager
    def work(self) -> Iterator[Work]:
        """Open a unit of work, as a page or command does."""
        with self.app.app_context(), unit_of_work() as work:
            yield work

    @contextmanager
    def read(self) -> Iterator[Work]:
        with self.app.app_context():
            yield reading()

    def job(self, job_id: int) -> Job:
        with self.read() as work:
            return work.job_board.get(job_id)

    def jobs(self, kind: str | None = None) -> list[Job]:
        """Return all jobs, oldest first."""
        with self.read() as work:
            jobs = work.session.scalars(select(Job).order_by(Job.id)).all()
        return [job for job in jobs if kind in (None, job.kind)]

    def mails(self) -> list[SentMail]:
        """Return the email log, oldest first."""
        with self.read() as work:
            return [*work.session.scalars(select(SentMail).order_by(SentMail.id))]

    def add_user(self, email: str, *, name: str = "", password: str, roles: Sequence[str] = ()) -> int:
        """Create a confirmed account, like `flask users create`."""
        with self.app.app_context():
            prepared = credentials.policy.prepare(password, words=(email, name))
        with self.work() as work:
            return work.users.create(email=email, name=name, roles=roles, password=prepared, by=OPERATOR).id

    def get(self, path: str, *, timeout: float = PATIENCE_SECONDS) -> bytes:
        with urllib.request.urlopen(f"{self.url}{path}", timeout=timeout) as answer:
            return bytes(answer.read())

    def told(self) -> str:
        """Return all output of the processes."""
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log")))
