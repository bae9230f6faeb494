"""Memory of an idle worker, and the time that a fresh process takes to have an application."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench.figure import Effort, Figure, interleaved
from bench.load import ask, request
from bench.servers import BASELINE, OURS, copy_pages, served
from bench.workspace import Workspace

IDLE_SECONDS = 1

TIME_A_START = """
import time
began = time.perf_counter()
{statement}
print(time.perf_counter() - began)
"""


def memory(workspace: Workspace, effort: Effort) -> Iterator[Figure]:
    """Half of the requests ask for the account page, half for the sign-in page."""
    workspace.add_users(1)
    with served(workspace, OURS) as ours:
        cookies = copy_pages(workspace, ours.port)
    pages = {
        BASELINE: [request("GET", "/account/1"), request("GET", "/login")],
        OURS: [request("GET", "/account", cookies=cookies), request("GET", "/auth/login")],
    }

    def idle_after(application: str) -> float:
        with served(workspace, application) as server:
            for number in range(effort.requests):
                answer = ask(server.port, pages[application][number % 2].encode())
                assert answer.startswith(b"HTTP/1.1 200 "), answer
            time.sleep(IDLE_SECONDS)
            return resident_mib(server.worker_pid())

    found = interleaved((effort.rounds + 2) // 3, lambda: idle_after(BASELINE), lambda: idle_after(OURS))
    yield Figure(
        f"memory of one worker after {effort.requests} requests", "MiB", *found, target=1.6, more_is_better=False
    )


def start(workspace: Workspace, effort: Effort) -> Iterator[Figure]:
    """What a server loads, imports included; both from byte code."""
    workspace.add_users(1)

    def milliseconds(statement: str) -> float:
        return 1000 * float(workspace.run([sys.executable, "-c", TIME_A_START.format(statement=statement)]))

    loads = {BASELINE: "from bench.baseline import create_app; app = create_app()", OURS: "from wsgi import app"}
    for statement in loads.values():
        milliseconds(statement)
    found = interleaved(2 * effort.rounds, lambda: milliseconds(loads[BASELINE]), lambda: milliseconds(loads[OURS]))
    yield Figure("the application in a fresh process", "ms", *found, target=2, more_is_better=False)


def resident_mib(pid: int) -> float:
    """All memory that the process has in use, what it shares with its parent included."""
    rollup = Path(f"/proc/{pid}/smaps_rollup")
    if rollup.is_file():
        (kib,) = re.findall(r"(?m)^Rss:\s+(\d+) kB", rollup.read_text())
    else:
        output = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True)
        kib = output.stdout
    return int(kib) / 1024
