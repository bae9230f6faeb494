"""A server that sends one byte at a time, so that no single read of its client takes long."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

BYTES, PAUSE_SECONDS = 500, 0.01


@contextmanager
def slow_server(document: str, *, slow: str) -> Iterator[str]:
    """Yield its URL. It sends `document` as JSON after five seconds of slow `headers` or a slow `body`."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(document) + BYTES}\r\n".encode()
    stopped = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection:
            connection.recv(65536)
            connection.sendall(head + (b"X-Slow: " if slow == "headers" else b"\r\n" + document.encode()))
            for _ in range(BYTES):
                if stopped.wait(PAUSE_SECONDS):
                    return
                connection.sendall(b" ")
            if slow == "headers":
                connection.sendall(b"\r\n\r\n" + document.encode() + b" " * BYTES)

    def accept() -> None:
        while not stopped.is_set():
            try:
                serve(listening.accept()[0])
            except OSError:
                continue

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            stopped.set()
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()
