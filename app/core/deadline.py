"""A deadline for a whole exchange with another server, however slowly it responds."""

from __future__ import annotations

import socket
import time
from threading import Lock, Timer
from types import TracebackType


class Deadline:
    """A context manager whose connections are shut down after `seconds`.

    A time-out of a socket bounds each read, so a server that sends a byte now and then is never late.
    """

    def __init__(self, seconds: float) -> None:
        self._ends_at = time.monotonic() + seconds
        self._timer = Timer(seconds, self._shut_down)
        self._timer.daemon = True
        self._lock = Lock()
        self._watched: list[socket.socket] = []

    def __enter__(self) -> Deadline:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, at: TracebackType | None
    ) -> None:
        self._timer.cancel()
        with self._lock:
            for connection in self._watched:
                connection.close()
            self._watched.clear()

    def left(self) -> float:
        """Return the remaining seconds. Raises TimeoutError if there are none."""
        left = self._ends_at - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline of the exchange has passed")
        return left

    def connect(self, host: str, port: int, *, at_most: float) -> socket.socket:
        """Connect to the first address that accepts within `at_most` seconds each. Raises OSError."""
        problem = OSError(f"{host} has no address")
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            connection = socket.socket(family, kind, protocol)
            try:
                connection.settimeout(min(at_most, self.left()))
                connection.connect(address)
                connection.settimeout(self.left())
                self._watch(connection)
            except OSError as failed:
                connection.close()
                problem = failed
            else:
                return connection
        raise problem

    def _watch(self, connection: socket.socket) -> None:
        # TLS takes the file descriptor over; a duplicate is of the same connection.
        with self._lock:
            self._watched.append(connection.dup())
        self.left()  # The timer may have run between.

    def _shut_down(self) -> None:
        with self._lock:
            for connection in self._watched:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # It is closed already.
