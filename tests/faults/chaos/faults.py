"""Faults: each breaks something, and returns what mends it besides starting the dead parts."""

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
    """For longer than the lease: another takes its job, and it must not finish it as well when it wakes up."""
    wake = freeze(rig.workers()[:1])

    def mend() -> None:
        threading.Event().wait(LEASE_SECONDS)
        wake()

    return mend


def freeze_valkey(rig: Rig) -> Mend:
    valkey = rig.parts["Valkey"]
    return freeze([valkey.pid] if isinstance(valkey, Valkey) and valkey.is_alive() else [])


def freeze_postgresql(rig: Rig) -> Mend:
    """Its parent first, so that it forks no process that goes on."""
    return freeze([each.pid for each in family(rig.postgres.pid)])


def lock_a_table(rig: Rig) -> Mend:
    """As a migration or somebody's session would; nothing if PostgreSQL is away as well."""
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
    with suppress(RedisError):  # It may be dead.
        rig.deployment.app.extensions["queue"].flushall()
    return lambda: None


def fill_the_disk(rig: Rig) -> Mend:
    """No file can be written: a limit of 0 bytes for each process (EFBIG), which needs no disk of its own."""
    limited = rig.processes()
    limit_files(limited, "0")
    return lambda: limit_files(limited, "unlimited")


def limit_files(processes: Sequence[psutil.Process], size: str) -> None:
    for each in processes:
        # On behalf of its user (PostgreSQL's is another), or the kernel may not allow it.
        with suppress(psutil.NoSuchProcess):
            command = ["prlimit", f"--fsize={size}:", f"--pid={each.pid}"]
            subprocess.run(command, user=each.uids().real, group=each.gids().real, stderr=subprocess.DEVNULL)


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
    """Break these at once for a while, mend them, and start what is dead."""
    mends = [faults[name](rig) for name in names]
    threading.Event().wait(seconds)
    for mend in reversed(mends):
        mend()
    rig.start_dead()
