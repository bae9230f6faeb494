"""A deployment whose dead parts are restarted."""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

import psutil
from redis import Redis
from sqlalchemy import text

from run import EmbeddedValkey
from tests.support.databases import migrated, own_postgres
from tests.support.deployment import PATIENCE_SECONDS, Deployment, Process, until
from tests.support.workspace import free_port

TROUBLED = "tests.faults.troubled_app"
LEASE_SECONDS = 1


class Part(Protocol):
    def is_alive(self) -> bool: ...
    def kill(self) -> None: ...


class Valkey:
    """The deployment's Valkey with its process ID."""

    def __init__(self, valkey: EmbeddedValkey) -> None:
        self._valkey = valkey
        with Redis.from_url(valkey.start()) as client:
            self.pid = int(client.info("server")["process_id"])

    def is_alive(self) -> bool:
        return self._valkey.is_alive()

    def kill(self) -> None:
        self._valkey.kill()


class Postgres:
    """A PostgreSQL server that is killed like in a power failure: all processes at once."""

    def __init__(self, folder: Path) -> None:
        self._server = own_postgres(folder)
        self.url = self._server.get_uri()

    def start(self) -> Postgres:
        (self._server.pgdata / "postmaster.pid").unlink(missing_ok=True)
        until(self._starts)
        return self

    def _starts(self) -> bool:
        with suppress(Exception):  # On a loaded machine recovery takes longer than the library waits.
            self._server.ensure_postgres_running()
            return True
        return False

    @property
    def pid(self) -> int:
        return self._server.get_pid() or 0

    def is_alive(self) -> bool:
        return psutil.pid_exists(self.pid)

    def kill(self) -> None:
        killed = family(self.pid)
        for process in killed:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(killed, PATIENCE_SECONDS)

    def close(self) -> None:
        self._server.cleanup()


def family(pid: int) -> list[psutil.Process]:
    """Return the process and all its descendants."""
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


class Rig:
    """A deployment whose dead parts are restarted, as systemd would."""

    def __init__(self, deployment: Deployment, *, smtp_port: int, postgres: Postgres | None = None) -> None:
        self.deployment = deployment
        self.mails = deployment.folder / "mails.txt"
        self._smtp = [sys.executable, "-m", "tests.faults.smtp_process", str(smtp_port), str(self.mails)]
        self.parts: dict[str, Part] = {"Valkey": self._start_valkey()}
        # As in production, a part that starts without Valkey must find it later.
        deployment.settings["redis_url"] = deployment.valkey.url
        self._starts: dict[str, Callable[[], Part]] = {"Valkey": self._start_valkey}
        if postgres is not None:
            self.parts["PostgreSQL"] = postgres
            self._starts["PostgreSQL"] = postgres.start
        self._starts |= {
            "SMTP": lambda: deployment.run("smtp", self._smtp),
            "web": deployment.start_web,
            "workers": lambda: deployment.start_worker(processes=2, schedule=True, application=TROUBLED),
        }
        with deployment.work() as work:
            work.session.execute(text("CREATE TABLE chaos_effects (number BIGINT NOT NULL)"))

    def start_dead(self) -> None:
        for name, start in self._starts.items():
            if name not in self.parts or not self.parts[name].is_alive():
                self.parts[name] = start()

    def _start_valkey(self) -> Part:
        return Valkey(self.deployment.valkey)

    def workers(self) -> list[int]:
        """Return the processes of workers and schedule."""
        pids = [process.pid for process in family(self.process("workers").pid)[1:]]
        random.shuffle(pids)
        return pids

    @property
    def postgres(self) -> Postgres:
        part = self.parts["PostgreSQL"]
        assert isinstance(part, Postgres)
        return part

    def process(self, name: str) -> Process:
        part = self.parts[name]
        assert isinstance(part, Process)
        return part

    def processes(self) -> list[psutil.Process]:
        """Return all processes that write files, except the mail server."""
        return [
            process
            for name, part in self.parts.items()
            if name != "SMTP" and (pid := getattr(part, "pid", None))
            for process in family(pid)
        ]


@contextmanager
def rigged(*, database: str, without_rescue: bool = False) -> Iterator[Rig]:
    """Run all parts on their own database."""
    with tempfile.TemporaryDirectory(prefix="gatehouse-chaos-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL does not run as root, so its user must be able to enter the folder.
        postgres = Postgres(folder / "pg") if database == "postgresql" else None
        url = migrated(postgres.url if postgres else f"sqlite:///{folder / 'gatehouse.db'}", folder)
        port = free_port()
        deployment = Deployment(
            folder,
            database_url=url,
            mail_url=f"smtp://127.0.0.1:{port}",
            mail_timeout_seconds="2",
            job_lease_seconds=str(LEASE_SECONDS),
            database_patience_seconds="2",
        )
        if without_rescue:
            deployment.environment["WITHOUT_RESCUE"] = "1"
        try:
            rig = Rig(deployment, smtp_port=port, postgres=postgres)
            rig.start_dead()
            yield rig
        finally:
            deployment.close()
            if postgres is not None:
                postgres.close()
