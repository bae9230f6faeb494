"""A load generator: processes that send one request after the other, each on a new connection.

With keep-alive, one of gunicorn's workers can end up with most of the connections, and that would be what is measured.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import cycle
from types import TracebackType
from typing import Any, NamedTuple

TIMEOUT_SECONDS = 30
FORM = "application/x-www-form-urlencoded"


class Answers(NamedTuple):
    count: int
    per_second: float


class Clients:
    """`count` processes that live through all rounds, so that no round pays for their start."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._processes: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Clients:
        for _ in range(self.count):
            command = [sys.executable, "-m", "bench.load"]
            self._processes.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        for process in self._processes:
            process.kill()
            process.communicate()

    def load(self, port: int, requests: Sequence[str], *, seconds: float, status: int) -> Answers:
        """What all processes together were answered; each sends its own part of `requests`, again and again.

        Raises RuntimeError when an answer has another `status`.
        """
        for number, process in enumerate(self._processes):
            part = requests[number :: self.count] or requests
            self._tell(process, {"port": port, "requests": part, "seconds": seconds, "status": status})
        answered = [self._hear(process) for process in self._processes]
        return Answers(sum(client.count for client in answered), sum(client.per_second for client in answered))

    @staticmethod
    def _tell(process: subprocess.Popen[str], task: dict[str, Any]) -> None:
        assert process.stdin is not None
        process.stdin.write(json.dumps(task) + "\n")
        process.stdin.flush()

    @staticmethod
    def _hear(process: subprocess.Popen[str]) -> Answers:
        assert process.stdout is not None
        answered = json.loads(process.stdout.readline())
        if "wrong" in answered:
            raise RuntimeError(f"an answer that was not asked for:\n{answered['wrong']}")
        return Answers(answered["count"], answered["count"] / answered["seconds"])


def request(
    method: str, path: str, *, cookies: dict[str, str] | None = None, body: str = "", kind: str = FORM, bearer: str = ""
) -> str:
    """A whole request, as it goes over the wire."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "User-Agent: Mozilla/5.0 (X11; Linux x86_64) bench"]
    if cookies:
        lines.append("Cookie: " + "; ".join(f"{name}={value}" for name, value in cookies.items()))
    if bearer:
        lines.append(f"Authorization: Bearer {bearer}")
    if body:
        lines += [f"Content-Type: {kind}", f"Content-Length: {len(body.encode())}"]
    return "\r\n".join([*lines, "Connection: close", "", body])


def ask(port: int, message: bytes) -> bytes:
    """Send one request on a connection of its own and read the answer to its end."""
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_SECONDS) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(message)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def measure(task: dict[str, Any]) -> dict[str, Any]:
    expected = f"HTTP/1.1 {task['status']} ".encode()
    answered, began = 0, time.perf_counter()
    for message in cycle([text.encode() for text in task["requests"]]):
        answer = ask(task["port"], message)
        if not answer.startswith(expected):
            return {"wrong": answer[:2000].decode(errors="replace")}
        answered += 1
        elapsed = time.perf_counter() - began
        if elapsed >= task["seconds"]:
            break
    return {"count": answered, "seconds": elapsed}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(measure(json.loads(line))), flush=True)
