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
from bench.servers import (
    BASELINE,
    OURS,
    copy_pages,
    descendants_of,
    free_port,
    processor_seconds,
    served,
    wait_until_ready,
)
from bench.workspace import ROOT, Workspace

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
            return memory_mib(server.worker_pid())

    figures = interleaved((effort.rounds + 2) // 3, lambda: idle_after(BASELINE), lambda: idle_after(OURS))
    yield Figure(
        f"memory of one worker after {effort.requests} requests", "MiB", *figures, target=1.62, more_is_better=False
    )


def first_answer(workspace: Workspace, effort: Effort) -> Iterator[Figure]:
    """The processor time of a fresh gunicorn with one worker until it has answered once."""

    def milliseconds(application: str) -> float:
        with served(workspace, application) as server:
            return 1000 * (server.processor_seconds() + processor_seconds(server.pid))

    figures = interleaved(effort.rounds, lambda: milliseconds(BASELINE), lambda: milliseconds(OURS))
    yield Figure("a fresh server until its first answer", "ms", *figures, target=3.8, more_is_better=False)


def idle(workspace: Workspace, effort: Effort) -> Iterator[Figure]:
    """All processes of `make run` in production, without Valkey; the baseline is the limit that we set ourselves."""
    environment = workspace.environment | {"PORT": str(free_port())}
    process = subprocess.Popen(
        [sys.executable, "run.py"], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until_ready(int(environment["PORT"]), process)
        time.sleep(10 * IDLE_SECONDS)
        family = [pid for pid in (process.pid, *descendants_of(process.pid)) if not is_valkey(pid)]
        yield Figure(
            "all processes of `make run`, idle",
            "MiB",
            200,
            sum(map(memory_mib, family)),
            target=1.5,
            more_is_better=False,
        )
    finally:
        process.terminate()
        process.wait(60)


def start(workspace: Workspace, effort: Effort) -> Iterator[Figure]:
    """What a server loads, imports included; both from byte code."""
    workspace.add_users(1)

    def milliseconds(statement: str) -> float:
        return 1000 * float(workspace.run([sys.executable, "-c", TIME_A_START.format(statement=statement)]))

    loads = {BASELINE: "from bench.baseline import create_app; app = create_app()", OURS: "from wsgi import app"}
    for statement in loads.values():
        milliseconds(statement)
    figures = interleaved(2 * effort.rounds, lambda: milliseconds(loads[BASELINE]), lambda: milliseconds(loads[OURS]))
    yield Figure("the application in a fresh process", "ms", *figures, target=2, more_is_better=False)


def is_valkey(pid: int) -> bool:
    command = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return "valkey-server" in command.stdout


def memory_mib(pid: int) -> float:
    """The memory in use, with its part of what other processes share (PSS); RSS where the system is not Linux."""
    rollup = Path(f"/proc/{pid}/smaps_rollup")
    if rollup.is_file():
        (kib,) = re.findall(r"(?m)^Pss:\s+(\d+) kB", rollup.read_text())
    else:
        output = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True)
        kib = output.stdout
    return int(kib) / 1024
