"""Faults: each breaks something and returns a function that repairs it."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

import psutil
import psycopg
from redis.exceptions import RedisError

from tests.faults.chaos.rig import LEASE_SECONDS, Rig, Valkey, family

Mend = Callable[[], None]


def kill(name: str) -> Callable[[Rig], Mend]:
    def strike(rig: Rig) -> Mend:
        rig.parts[name].kill()
        return lambda: None

    return strike


def kill_a_worker(rig: Rig) -> Mend:
    for pid in rig.workers()[:1]:
        os.kill(pid, signal.SIGKILL)
    return lambda: None


def freeze_a_worker(rig: Rig) -> Mend:
    """Freeze a worker for longer than its lease: another takes the job, and the first must not finish it on waking."""
    wake = freeze(rig.workers()[:1])

    def mend() -> None:
        threading.Event().wait(LEASE_SECONDS)
        wake()

    return mend


def freeze_valkey(rig: Rig) -> Mend:
    valkey = rig.parts["Valkey"]
    return freeze([valkey.pid] if isinstance(valkey, Valkey) and valkey.is_alive() else [])


def freeze_postgresql(rig: Rig) -> Mend:
    """# The parent first, so that it cannot fork a process that continues."""
    return freeze([process.pid for process in family(rig.postgres.pid)])


def lock_a_table(rig: Rig) -> Mend:
    """Lock a table as a migration or an open session would; does nothing while PostgreSQL is down."""
    with suppress(psycopg.Error):
        lock = psycopg.connect(rig.postgres.url, connect_timeout=2)
        lock.execute("LOCK TABLE users, jobs IN ACCESS EXCLUSIVE MODE")
        return lock.close
    return lambda: None


def freeze(pids: Sequence[int]) -> Mend:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)

    def wake() -> None:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    return wake


def empty_valkey(rig: Rig) -> Mend:
    with suppress(RedisError):  # The process may be dead.
        rig.deployment.app.extensions["queue"].flushall()
    return lambda: None


def fill_the_disk(rig: Rig) -> Mend:
    """Make writing files fail with a limit of 0 bytes for each process (EFBIG)."""
    limited = rig.processes()
    limit_files(limited, "0")
    return lambda: limit_files(limited, "unlimited")


def limit_files(processes: Sequence[psutil.Process], size: str) -> None:
    for process in processes:
        # Run as the owner of the process (PostgreSQL has its own user), or the kernel may refuse.
        with suppress(psutil.NoSuchProcess):
            command = ["prlimit", f"--fsize={size}:", f"--pid={process.pid}"]
            subprocess.run(command, user=process.uids().real, group=process.gids().real, stderr=subprocess.DEVNULL)


FAULTS: dict[str, Callable[[Rig], Mend]] = {
    "kill the web": kill("web"),
    "kill a worker or the schedule": kill_a_worker,
    "kill all workers": kill("workers"),
    "kill Valkey": kill("Valkey"),
    "kill the mail server": kill("SMTP"),
    "freeze a worker past its lease": freeze_a_worker,
    "freeze Valkey": freeze_valkey,
    "empty Valkey": empty_valkey,
    "fill the disk": fill_the_disk,
}
POSTGRES_FAULTS: dict[str, Callable[[Rig], Mend]] = {
    "kill PostgreSQL": kill("PostgreSQL"),
    "freeze PostgreSQL": freeze_postgresql,
    "lock tables": lock_a_table,
}


def strike(rig: Rig, names: Sequence[str], faults: dict[str, Callable[[Rig], Mend]], *, seconds: float) -> None:
    """Break these at once for a while, repair them, and restart dead parts."""
    mends = [faults[name](rig) for name in names]
    threading.Event().wait(seconds)
    for mend in reversed(mends):
        mend()
    rig.start_dead()
