"""A stand-in for systemd: enough to run the units of `ops/systemd`, and a `systemctl` for scripts."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingUnixStreamServer
from typing import Any

SYSTEMCTL = """\
#!{python} -I
import json, socket, sys
with socket.socket(socket.AF_UNIX) as client:
    client.connect({address!r})
    client.sendall(json.dumps(sys.argv[1:]).encode() + b"\\n")
    told = client.makefile().read()
sys.exit(told or 0)
"""
START_SECONDS = 90


class UnitFailed(Exception):
    """The output of `systemctl` before it exits with code 1."""


@dataclass
class Unit:
    """A unit file: the values of each name, in order."""

    name: str
    values: dict[str, list[str]]

    @classmethod
    def read(cls, file: Path) -> Unit:
        values: dict[str, list[str]] = {}
        for line in file.read_text().splitlines():
            if line and line[0] not in "#[":
                name, _, value = line.partition("=")
                values.setdefault(name, []).append(value.replace("%%", "%"))
        return cls(file.name, values)

    def get(self, name: str, default: str = "") -> str:
        return self.values.get(name, [default])[-1]


@dataclass
class Systemd:
    """Runs units of `folder`; `others` are services that no file describes: they take a verb.

    Not like systemd: every service runs as this process's user without a sandbox, and nothing is restarted when it dies.
    """

    folder: Path
    log: Path
    others: dict[str, Callable[[str], None]] = field(default_factory=dict)
    enabled: set[str] = field(default_factory=set)
    killed: list[str] = field(default_factory=list)
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _sockets: dict[str, socket.socket] = field(default_factory=dict)

    def systemctl(self, *arguments: str) -> None:
        """Raises UnitFailed."""
        verb, *names = [argument for argument in arguments if argument != "--now"]
        if verb == "daemon-reload":
            return
        for name in names:
            unit = name if "." in name else f"{name}.service"
            if unit in self.others:
                self.others[unit](verb)
                continue
            if verb == "enable":
                assert self._read(unit).get("WantedBy"), f"{unit} has no [Install] section"
                self.enabled.add(unit)
            if verb != "enable" or "--now" in arguments:
                {"enable": self._start, "start": self._start, "stop": self._stop, "reload": self._reload}.get(
                    verb, self._restart
                )(unit)

    def _read(self, name: str) -> Unit:
        return Unit.read(self.folder / name)

    def _start(self, name: str) -> None:
        unit = self._read(name)
        if name.endswith(".timer"):
            assert unit.get("OnCalendar")
            assert self._read(name.replace(".timer", ".service"))
        elif name.endswith(".socket"):
            if name not in self._sockets:
                host, _, port = unit.get("ListenStream").rpartition(":")
                self._sockets[name] = socket.create_server((host, int(port)), backlog=4096)
        elif unit.get("Type") == "oneshot":
            for command in unit.values["ExecStart"]:
                self._run(unit, command)
        elif not self._is_running(name):
            self._launch(unit)

    def _launch(self, unit: Unit) -> None:
        command = shlex.split(unit.get("ExecStart"))
        files: list[int] = []
        if required := unit.get("Requires"):
            self._start(required)
            files = [self._sockets[required].fileno()]
            script = f'export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@" 3<&{files[0]}'
            command = ["bash", "-c", script, "bash", *command]
        with self.log.open("ab") as log:
            self._running[unit.name] = subprocess.Popen(
                command,
                cwd=unit.get("WorkingDirectory"),
                env=self._environment(unit),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=files,
                start_new_session=True,
            )

    def _stop(self, name: str) -> None:
        if name.endswith(".socket"):
            if name in self._sockets:
                self._sockets.pop(name).close()
            return
        if not self._is_running(name):
            return
        unit, process = self._read(name), self._running.pop(name)
        if unit.get("KillMode") == "mixed":
            process.terminate()
        else:
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(int(unit.get("TimeoutStopSec", "90")))
        except subprocess.TimeoutExpired:
            self.killed.append(name)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _restart(self, name: str) -> None:
        self._stop(name)
        self._start(name)

    def _reload(self, name: str) -> None:
        unit = self._read(name)
        if not self._is_running(name):
            raise UnitFailed(f"{name} is not active, cannot reload.")
        for command in unit.values["ExecReload"]:
            self._run(unit, command.replace("$MAINPID", str(self._running[name].pid)))

    def _is_running(self, name: str) -> bool:
        return name in self._running and self._running[name].poll() is None

    def _run(self, unit: Unit, command: str) -> None:
        with self.log.open("ab") as log:
            code = subprocess.run(
                shlex.split(command),
                cwd=unit.get("WorkingDirectory"),
                env=self._environment(unit),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                timeout=START_SECONDS,
            ).returncode
        if code:
            raise UnitFailed(f"{unit.name}: {command} ended with {code}; see {self.log}")

    @staticmethod
    def _environment(unit: Unit) -> dict[str, str]:
        pairs = [pair.partition("=") for line in unit.values.get("Environment", []) for pair in shlex.split(line)]
        return {"PATH": "/usr/local/bin:/usr/bin:/bin"} | {name: value for name, _, value in pairs}

    def serve(self, address: Path, program: Path) -> None:
        """Write a `systemctl` to `program` that calls this one."""
        import json  # noqa: PLC0415

        systemd = self

        class Handler(StreamRequestHandler):
            def handle(self) -> None:
                try:
                    systemd.systemctl(*json.loads(self.rfile.readline()))
                except Exception as problem:  # noqa: BLE001 - the script fails with it.
                    self.wfile.write(f"{type(problem).__name__}: {problem}".encode())

        self._server: Any = ThreadingUnixStreamServer(str(address), Handler)
        threading.Thread(target=self._server.serve_forever).start()
        program.write_text(SYSTEMCTL.format(python=sys.executable, address=str(address)))
        program.chmod(0o755)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        for process in self._running.values():
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for listener in self._sockets.values():
            listener.close()
