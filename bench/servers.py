"""The two web servers, under gunicorn with the same settings."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bench.load import ask, request
from bench.workspace import ROOT, Browser, Workspace, address_of

START_SECONDS = 60
STOP_SECONDS = 40

# `gunicorn.conf.py` belongs to the application and loads it, so its plain values are read in a process of its own.
READ_SETTINGS = """
import json, runpy
from gunicorn.config import KNOWN_SETTINGS
known = {each.name for each in KNOWN_SETTINGS}
print(json.dumps({name: value for name, value in runpy.run_path("gunicorn.conf.py").items() if name in known
                  and not callable(value)}))
"""

BASELINE_CONFIGURATION = """\
import gc
{values}

def when_ready(server):
    gc.collect()
    gc.freeze()
"""

BASELINE = "bench.baseline:create_app()"
OURS = "wsgi:app"


@dataclass(frozen=True, slots=True)
class Server:
    port: int
    pid: int

    def worker_pid(self) -> int:
        """The one worker's process; the server's own only starts it."""
        (pid,) = children_of(self.pid)
        return pid

    def processor_seconds(self) -> float:
        """What all workers have used so far, to a hundredth of a second."""
        return sum(processor_seconds(pid) for pid in children_of(self.pid))


@contextmanager
def served(workspace: Workspace, application: str, *, workers: int = 1) -> Iterator[Server]:
    """`BASELINE` or `OURS` behind gunicorn, ready to answer."""
    port = free_port()
    configuration = str(ROOT / "gunicorn.conf.py") if application == OURS else str(_baseline_configuration(workspace))
    command = [sys.executable, "-m", "gunicorn", "-c", configuration, "-b", f"127.0.0.1:{port}", "-w", str(workers)]
    with (workspace.folder / "servers.log").open("ab") as log:
        process = subprocess.Popen([*command, application], cwd=ROOT, env=workspace.environment, stdout=log, stderr=log)
    try:
        wait_until_ready(port, process, log=workspace.folder / "servers.log")
        yield Server(port, process.pid)
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)


def copy_pages(workspace: Workspace, port: int) -> dict[str, str]:
    """Give the baseline our two pages, and return the cookies of who is signed in at ours.

    Their text is kept to the byte; on the account page the two values that come from the database stay values.
    """
    browser = Browser(port)
    login = browser.get("/auth/login")
    browser.sign_in(1)
    account = browser.get("/account")
    assert "<h1>Sign in</h1>" in re.sub(r' id="\w+"', "", login), login
    assert address_of(1) in account, account
    (workspace.templates / "login.html").write_text(_raw(login))
    (workspace.templates / "account.html").write_text(
        _raw(account).replace("Person 1", _value("name")).replace(address_of(1), _value("email"))
    )
    return browser.cookies


def descendants_of(pid: int) -> list[int]:
    return [descendant for child in children_of(pid) for descendant in (child, *descendants_of(child))]


def children_of(pid: int) -> list[int]:
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    pairs = [line.split() for line in listed.splitlines()]
    return [int(child) for child, parent in pairs if int(parent) == pid]


def processor_seconds(pid: int) -> float:
    stat = Path(f"/proc/{pid}/stat")
    if stat.is_file():
        user, system = stat.read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    output = subprocess.run(["ps", "-o", "time=", "-p", str(pid)], capture_output=True, text=True, check=True).stdout
    return sum(float(part) * 60**place for place, part in enumerate(reversed(output.split(":"))))


def _raw(page: str) -> str:
    return f"{{% raw %}}{page}{{% endraw %}}"


def _value(name: str) -> str:
    return f"{{% endraw %}}{{{{ person.{name} }}}}{{% raw %}}"


def _baseline_configuration(workspace: Workspace) -> Path:
    values = json.loads(workspace.run([sys.executable, "-c", READ_SETTINGS]))
    written = workspace.folder / "baseline.conf.py"
    written.write_text(
        BASELINE_CONFIGURATION.format(values="\n".join(f"{name} = {value!r}" for name, value in values.items()))
    )
    return written


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_ready(port: int, process: subprocess.Popen[bytes], *, log: Path | None = None) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError):
            if ask(port, request("GET", "/login").encode()):
                return
        time.sleep(0.05)
    raise RuntimeError(f"the server does not answer:\n{log.read_text(errors='replace')[-2000:] if log else ''}")
