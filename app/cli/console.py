"""What a run writes on the terminal: each part's lines behind its name."""

from __future__ import annotations

import os
import sys

COLOURS = {"web": 36, "worker": 35, "schedule": 34, "valkey": 33}
WIDTH = max(len(name) for name in COLOURS)
LONGEST_LINE = 64 * 1024


class Console:
    """Standard output; when its reader has gone, the run has no owner any more and `is_gone` says so."""

    def __init__(self) -> None:
        self.is_gone = False
        self._has_colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    def say(self, text: str) -> None:
        """Say something of our own."""
        self._write(f"{text}\n".encode())

    def lines_of(self, part: str) -> Lines:
        """Where the output of `part` goes."""
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
    """Turns what a part writes, in pieces of any size, into whole lines."""

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
        """Nothing more comes: what is left is a line too."""
        rest, self._rest = self._rest, b""
        self._console.write_lines(self._prefix, [rest] if rest else [])
