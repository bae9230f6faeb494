"""`flask up`: everything that a run needs, from one command."""

from __future__ import annotations

import os
import shlex
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from dotenv import find_dotenv

from app.cli.console import Console
from app.cli.preflight import KILLED_RUN_SECONDS, CannotStart, check_database, check_queue, listen, only_run_on
from app.cli.reload import Watch
from app.cli.supervisor import Part, Program, Supervisor, ValkeyPart, program
from app.embedded_valkey import EmbeddedValkey, ValkeyProblem
from app.extensions import settings as current_settings
from app.settings import ROOT, Settings

GREETING = """
  Gatehouse is at     {address}
{mails}  An administrator    {administrator}
  Ctrl-C stops it.
"""


@click.command()
def up() -> None:
    """Serve the web pages together with worker, schedule and Valkey; Ctrl-C stops all of it."""
    settings = current_settings()
    with only_run_on(settings.instance_path) as earlier_was_killed:
        check_database(settings)
        patience = KILLED_RUN_SECONDS if earlier_was_killed else 0
        with listen(settings.host, settings.port, patience=patience) as listener:
            again = Run(settings, listener).to_the_end()
    if again is not None:
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], again)


class Run:
    """One run of all parts, from the first to start to the last to stop."""

    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        self._settings = settings
        self._listener = listener
        self._console = Console()
        self._supervisor = Supervisor(self._console)
        self._watch = Watch() if settings.is_development else None
        self._new_environment: dict[str, str] | None = None
        self._programs: list[Part] = []
        self._queue: list[Part] = []

    def to_the_end(self) -> dict[str, str] | None:
        """Run until a stop is asked for; an environment means: run again, in it, with the settings as they are then."""
        self._supervisor.listen_to_signals()
        try:
            self._start_queue()
            self._migrate()
            self._start_programs()
            self._supervisor.run(self._look_for_changes)
        finally:
            self._supervisor.stop(self._programs, self._queue)
        return self._new_environment
