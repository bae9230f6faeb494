"""Supervises the parts of a run: restarts them, forwards their output, and stops them together."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import IO, Protocol

from app.cli.console import Console, Lines
from app.embedded_valkey import EmbeddedValkey, ValkeyProblem, dying_with_parent

TICK_SECONDS = 1.0
DRAIN_SECONDS = 25
RELOAD_SECONDS = 10
KILL_SECONDS = 5
LONGEST_PAUSE = 30
# A part that ran this long had started successfully, so its next failure begins a new count.
WELL_SECONDS = 60


class Part(Protocol):
    """A part of the run, which runs until it is stopped."""

    name: str

    def start(self) -> IO[bytes] | None: ...
    def how_it_ended(self) -> str | None: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...
    def is_over(self) -> bool: ...


class Program:
    """A part that is a process with children, in a process group that Ctrl-C does not reach."""

    def __init__(self, name: str, command: Sequence[str], *, files: Sequence[int] = ()) -> None:
        self.name = name
        self._command = command
        self._files = files
        self._process: subprocess.Popen[bytes] | None = None
        self._groups: set[int] = set()

    def start(self) -> IO[bytes] | None:
        self._process = subprocess.Popen(
            dying_with_parent(self._command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            pass_fds=self._files,
            process_group=0,
            bufsize=0,
        )
        self._groups.add(self._process.pid)
        return self._process.stdout

    def how_it_ended(self) -> str | None:
        code = self._process.poll() if self._process else None
        if code is None:
            return None
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    def terminate(self) -> None:
        """Send TERM to the process, which stops its children; if it is gone, to the children it left behind."""
        if self._process and self._is_running():
            self._process.terminate()
        for group in self._left_groups():
            _signal_group(group, signal.SIGTERM)

    def kill(self) -> None:
        self._left_groups()
        for group in self._groups:
            _signal_group(group, signal.SIGKILL)

    def is_over(self) -> bool:
        return not self._is_running() and not self._left_groups()

    def _is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _left_groups(self) -> set[int]:
        """Groups of earlier starts, or of this one if its first process is gone, that still have members."""
        running = {self._process.pid} if self._process and self._is_running() else set()
        self._groups = running | {group for group in self._groups - running if _has_members(group)}
        return self._groups - running


class ValkeyPart:
    """The embedded Valkey as a part; it writes a log of its own."""

    name = "valkey"

    def __init__(self, valkey: EmbeddedValkey) -> None:
        self._valkey = valkey

    def start(self) -> None:
        self._valkey.start()

    def how_it_ended(self) -> str | None:
        return None if self._valkey.is_alive() else "see instance/valkey/valkey.log"

    def terminate(self) -> None:
        self._valkey.stop()

    def kill(self) -> None:
        self._valkey.kill()

    def is_over(self) -> bool:
        return not self._valkey.is_alive()


class Supervisor:
    """One loop that waits until a part writes or ends, a signal arrives, or a second has passed."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.parts: list[Part] = []
        self.stops_asked = 0
        self._started_at: dict[Part, float] = {}
        self._start_at: dict[Part, float] = {}
        self._pause: dict[Part, int] = {}
        self._selector = selectors.DefaultSelector()
        self._wakes, self._wake = socket.socketpair()

    # ── signals ──────────────────────────────────────────────────────────────────────────────────────────

    def listen_to_signals(self) -> None:
        """From here on a signal ends the run in an orderly way, whatever it is doing."""
        self._wakes.setblocking(False)
        self._wake.setblocking(False)
        self._selector.register(self._wakes, selectors.EVENT_READ, lambda: self._wakes.recv(4096))
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # nohup(1) asks that a hang-up be ignored.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._ask_to_stop)

    def _ask_to_stop(self, *_: object) -> None:
        self.stops_asked += 1

    # ── starting ─────────────────────────────────────────────────────────────────────────────────────────

    def add(self, part: Part) -> None:
        """Start a part and keep it running."""
        self.parts.append(part)
        self._start(part)

    def restart(self, parts: Iterable[Part]) -> None:
        """Stop parts and start them again, with the current code."""
        self._take_down(parts, seconds=RELOAD_SECONDS)
        for part in parts:
            if not self.is_stopping():
                self._pause.pop(part, None)
                self._start(part)

    def finish(self, command: Sequence[str]) -> tuple[int, str]:
        """Run a command to its end, or until the run is stopped; returns its exit code and output."""
        with tempfile.TemporaryFile("w+b") as output:
            program = subprocess.Popen(
                dying_with_parent(command), stdin=subprocess.DEVNULL, stdout=output, stderr=output, process_group=0
            )
            while program.poll() is None:
                self.pump(TICK_SECONDS / 5)
                if self.is_stopping():
                    program.terminate()
            output.seek(0)
            return program.returncode, output.read().decode(errors="replace")

    def _start(self, part: Part) -> None:
        self._started_at[part] = time.monotonic()
        self._start_at.pop(part, None)
        said = part.start()
        if said is not None:
            self._listen_to(said, self.console.lines_of(part.name))

    # ── running ──────────────────────────────────────────────────────────────────────────────────────────

    def run(self, each_tick: Callable[[], bool]) -> None:
        """Keep all parts running until a stop is requested, or `each_tick` (called once a second) returns True."""
        ticked_at = time.monotonic()
        while not self.is_stopping():
            self.pump(TICK_SECONDS)
            self._revive()
            if time.monotonic() - ticked_at < TICK_SECONDS or self.is_stopping():
                continue
            ticked_at = time.monotonic()
            if each_tick():
                return

    def is_stopping(self) -> bool:
        """Whether a signal requested it, or nobody reads the output any more."""
        return self.stops_asked > 0 or self.console.is_gone

    def pump(self, seconds: float) -> None:
        """Wait until something happens, `seconds` at most, and forward the output of the parts."""
        for key, _ in self._selector.select(seconds):
            key.data()

    def watch(self, connection: socket.socket, then: Callable[[], None]) -> None:
        """Call `then` once, when `connection` is readable."""

        def once() -> None:
            self._selector.unregister(connection)
            then()

        self._selector.register(connection, selectors.EVENT_READ, once)

    def _revive(self) -> None:
        for part in self.parts:
            if part in self._start_at:
                if time.monotonic() >= self._start_at[part]:
                    self._start_again(part)
            elif (how := part.how_it_ended()) is not None:
                self._plan_start(part, how)

    def _start_again(self, part: Part) -> None:
        try:
            self._start(part)
        except (OSError, ValkeyProblem) as problem:
            self._plan_start(part, str(problem))

    def _plan_start(self, part: Part, how: str) -> None:
        part.terminate()
        now = time.monotonic()
        well = now - self._started_at[part] > WELL_SECONDS
        pause = 1 if well else min(self._pause.get(part, 0) * 2 or 1, LONGEST_PAUSE)
        self._pause[part] = pause
        self._start_at[part] = now + pause
        self.console.say(f"{part.name} has stopped ({how}); starting it again in {pause} s")

    # ── stopping ─────────────────────────────────────────────────────────────────────────────────────────

    def stop(self, *groups: Sequence[Part]) -> None:
        """Stop the groups one after the other; a second Ctrl-C ends everything at once."""
        for group in groups:
            self._take_down(group, seconds=DRAIN_SECONDS)
        signal.set_wakeup_fd(-1)
        self._selector.close()
        self._wakes.close()
        self._wake.close()

    def _take_down(self, parts: Iterable[Part], *, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        for part in parts:
            part.terminate()
        while not all(part.is_over() for part in parts) and time.monotonic() < deadline + KILL_SECONDS:
            if time.monotonic() > deadline or self.stops_asked > 1:
                for part in parts:
                    part.kill()
            self.pump(TICK_SECONDS / 5)
        self.pump(0)

    def _listen_to(self, said: IO[bytes], lines: Lines) -> None:
        os.set_blocking(said.fileno(), False)

        def read() -> None:
            chunk = said.read(65536)
            if chunk:
                lines.feed(chunk)
            elif chunk is not None:
                lines.end()
                self._selector.unregister(said)
                said.close()

        self._selector.register(said, selectors.EVENT_READ, read)


def module(*command: str) -> list[str]:
    """A module of this Python as a command."""
    return [sys.executable, "-m", *command]


def _has_members(group: int) -> bool:
    """Whether a process group has members; orphans handed to us (as process 1 of a container) are reaped."""
    with suppress(ChildProcessError):
        while os.waitpid(-group, os.WNOHANG)[0]:
            pass
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _signal_group(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
