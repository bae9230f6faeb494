"""The terminal output of `flask up`: each part's lines after its name."""

from __future__ import annotations

import os
import sys

COLOURS = {"web": 36, "worker": 35, "schedule": 34, "valkey": 33}
WIDTH = max(len(name) for name in COLOURS)
LONGEST_LINE = 64 * 1024


class Console:
    """Standard output; `is_gone` once nobody reads it any more."""

    def __init__(self) -> None:
        self.is_gone = False
        self._has_colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    def say(self, text: str) -> None:
        """Print a line of the run itself."""
        self._write(f"{text}\n".encode())

    def lines_of(self, part: str) -> Lines:
        """The sink for the output of `part`."""
        name = f"{part:<{WIDTH}}"
        colour = COLOURS.get(part)
        prefix = f"\033[{colour}m{name} |\033[0m " if self._has_colours and colour else f"{name} | "
        return Lines(self, prefix.encode())

    def _write(self, content: bytes) -> None:
        try:
            sys.stdout.flush()
            sys.stdout.buffer.write(content)
            sys.stdout.buffer.flush()
        except OSError:
            self.is_gone = True

    def write_lines(self, prefix: bytes, lines: list[bytes]) -> None:
        if lines:
            self._write(b"".join(prefix + line + b"\n" for line in lines))


class Lines:
    """Joins what a part writes, in chunks of any size, into whole lines."""

    def __init__(self, console: Console, prefix: bytes) -> None:
        self._console = console
        self._prefix = prefix
        self._rest = b""

    def feed(self, piece: bytes) -> None:
        *whole, self._rest = (self._rest + piece).split(b"\n")
        self._console.write_lines(self._prefix, whole)
        if len(self._rest) > LONGEST_LINE:
            self.end()

    def end(self) -> None:
        """End of output: the rest is a line too."""
        rest, self._rest = self._rest, b""
        self._console.write_lines(self._prefix, [rest] if rest else [])
