"""`flask up`: all parts from one command."""

from __future__ import annotations

import os
import shlex
import socket
import sys
from pathlib import Path
from urllib.parse import urlsplit

import click

from app.cli.console import Console
from app.cli.preflight import KILLED_RUN_SECONDS, CannotStart, check_database, check_queue, listen, only_run_on
from app.cli.reload import Watch
from app.cli.supervisor import Part, Program, Supervisor, ValkeyPart, module
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
        waits_for_migrations = check_database(settings)
        patience = KILLED_RUN_SECONDS if earlier_was_killed else 0
        with listen(settings.host, settings.port, patience=patience) as listener:
            again = Run(settings, listener).run(migrate_first=waits_for_migrations)
    if again is not None:
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], again)  # noqa: S606


class Run:
    """One run of all parts."""

    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        self._settings = settings
        self._listener = listener
        self._console = Console()
        self._supervisor = Supervisor(self._console)
        self._watch = Watch() if settings.is_development else None
        self._queue: list[Part] = []
        self._programs: list[Part] = []
        self._question: socket.socket | None = None
        self._has_greeted = False
        self._next_environment: dict[str, str] | None = None

    def run(self, *, migrate_first: bool) -> dict[str, str] | None:
        """Run until a stop is requested, or settings change: then return the environment for the next run.

        Raises CannotStart.
        """
        self._supervisor.listen_to_signals()
        try:
            self._start_queue()
            if migrate_first:
                self._migrate()
            self._start_programs()
            self._supervisor.run(self._each_tick)
            if self._supervisor.stops_asked:
                self._console.say("Stopping; a second Ctrl-C ends it at once.")
        finally:
            self._supervisor.stop(self._programs, self._queue)
        return self._next_environment

    # ── starting ─────────────────────────────────────────────────────────────────────────────────────────

    def _start_queue(self) -> None:
        if self._settings.redis_url:
            warning = check_queue(self._settings.redis_url)
            if warning:
                self._console.say(warning)
            return
        valkey = ValkeyPart(EmbeddedValkey(self._settings.instance_path / "valkey"))
        try:
            self._supervisor.add(valkey)
        except ValkeyProblem as problem:
            raise CannotStart(str(problem)) from None
        self._queue = [valkey]

    def _migrate(self) -> None:
        code, output = self._supervisor.finish(module("flask", "db", "upgrade"))
        if code and not self._supervisor.is_stopping():
            self._console.say(output)
            raise CannotStart("The database could not be migrated; what went wrong stands above.")

    def _start_programs(self) -> None:
        file = self._listener.fileno()
        serve = module("gunicorn", "--config", str(ROOT / "gunicorn.conf.py"), "--bind", f"fd://{file}", "wsgi:app")
        self._programs = [
            Program("web", serve, files=[file]),
            Program("schedule", module("flask", "jobs", "schedule")),
            Program("worker", module("flask", "jobs", "worker")),
        ]
        for part in self._programs:
            if not self._supervisor.is_stopping():
                self._supervisor.add(part)
        self._ask_web()

    # ── once a second ────────────────────────────────────────────────────────────────────────────────────

    def _each_tick(self) -> bool:
        """Whether this run should end, so that another can follow."""
        if not self._has_greeted and not self._question:
            self._ask_web()
        changed = self._watch.changed() if self._watch else []
        if self._watch and self._watch.touches_settings(changed):
            self._console.say(f"{_listed(changed)} changed; starting anew")
            self._next_environment = self._watch.environment_without_files()
            return True
        if changed:
            self._reload(changed)
        return False

    def _reload(self, changed: list[Path]) -> None:
        self._console.say(f"{_listed(changed)} changed; restarting web, schedule and worker")
        if any(path.is_relative_to(ROOT / "migrations") for path in changed):
            try:
                self._migrate()
            except CannotStart as problem:
                self._console.say(problem.message)
        self._supervisor.restart(self._programs)

    # ── once web answers ─────────────────────────────────────────────────────────────────────────────────────

    def _ask_web(self) -> None:
        """Request /healthz. The listening socket exists already, so the request waits until web accepts it."""
        host, port = self._listener.getsockname()[:2]
        self._question = socket.create_connection(({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port))  # noqa: S104
        address = urlsplit(self._settings.public_url).netloc
        self._question.sendall(f"GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode())
        self._supervisor.watch(self._question, self._read_web)

    def _read_web(self) -> None:
        """Print the address once web has answered; otherwise ask again at the next tick."""
        assert self._question is not None  # noqa: S101 - for the type checker: only an asked question is heard
        with self._question as question:
            try:
                answer = question.recv(64)
            except OSError:
                answer = b""
        self._question = None
        self._has_greeted = answer.startswith(b"HTTP/1.1 ") and not answer.startswith(b"HTTP/1.1 5")
        if self._has_greeted:
            self._console.say(self._greeting())

    def _greeting(self) -> str:
        url = self._settings.public_url
        shows_mails = self._settings.is_development and not self._settings.mail_url.get_secret_value()
        return GREETING.format(
            address=url,
            mails=f"  Mails are read at   {url}/dev/mailbox\n" if shows_mails else "",
            administrator=f'{_flask()} users create you@example.com --name "You" --role administrator',
        )


def _flask() -> str:
    """How to type this environment's `flask` command here, for the data of this run."""
    path = Path(sys.executable).with_name("flask")
    typed = shlex.quote(str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path))
    instance = os.environ.get("INSTANCE_PATH")
    # The URL of a database may hold a password, which must not be printed.
    database = 'DATABASE_URL="..." ' if os.environ.get("DATABASE_URL") else ""
    return f"{f'INSTANCE_PATH={shlex.quote(instance)} ' if instance else ''}{database}{typed}"


def _listed(changed: list[Path]) -> str:
    names = [str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path) for path in changed]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
