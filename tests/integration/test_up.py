"""`flask up`: one real run through kills and stops, and each thing in its way as one sentence."""

import errno
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError
from urllib.request import urlopen

import psutil
import pytest
from redis import Redis

from app import create_app
from app.cli import preflight, supervisor
from app.cli.console import LONGEST_LINE, Console, Lines
from app.cli.preflight import CannotStart
from app.cli.reload import Watch
from app.cli.supervisor import Supervisor
from app.embedded_valkey import EmbeddedValkey, ValkeyProblem
from app.settings import ROOT, Settings
from tests.support.deployment import until

# Settings of the machine that tests run on, which would lead a run away from its own folder.
ELSEWHERE = {"BASE_URL", "DATABASE_URL", "HOST", "INSTANCE_PATH", "MAIL_URL", "REDIS_URL", "SECRET_KEY"}


class Run:
    """`flask up` in a copy of the tree, so that its code and settings can change under it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.instance = root / "instance"
        self.said_file = root.parent / "said.txt"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        for name in ("app", "migrations", "wsgi.py", "gunicorn.conf.py"):
            (shutil.copytree if (ROOT / name).is_dir() else shutil.copy2)(ROOT / name, root / name)

    def start(self) -> None:
        self.said_file.write_text("")
        environment = {name: value for name, value in os.environ.items() if name not in ELSEWHERE} | {
            "ENVIRONMENT": "development",
            "PORT": str(self.port),
            "PYTHONPATH": str(self.root),
            "WEB_PROCESSES": "1",
            "WORKER_PROCESSES": "1",
        }
        command = [sys.executable, "-m", "flask", "--app", "wsgi", "up"]
        with self.said_file.open("ab") as said:
            self.process = subprocess.Popen(command, cwd=self.root, env=environment, stdout=said, stderr=said)

    def said(self) -> str:
        return self.said_file.read_text()

    def says(self, text: str, *, times: int = 1) -> None:
        """Wait until it has said `text`."""
        until(lambda: self.said().count(text) >= times, why=lambda: f"{text!r} in:\n{self.said()}")

    def parts(self) -> dict[str, psutil.Process]:
        """All four by name, once they are there; a part's own children are not among them."""
        return until(lambda: len(found := self._find_parts()) == 4 and found, why=self.said)

    def everyone(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def answers(self) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=5) as answer:
                return answer.status == 200
        except (URLError, ConnectionError, TimeoutError):
            return False

    def _find_parts(self) -> dict[str, psutil.Process]:
        signs = {"gunicorn": "web", "schedule": "schedule", "worker": "worker", "valkey.conf": "valkey"}
        found = {}
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.Error):
                found |= {name: child for sign, name in signs.items() if sign in " ".join(child.cmdline())}
        return found


@pytest.fixture
def run(tmp_path):
    (tmp_path / "tree").mkdir()
    made = Run(tmp_path / "tree")
    yield made
    if made.process.poll() is None:
        made.process.terminate()
        made.process.wait(60)


def are_gone(processes: list[psutil.Process]) -> bool:
    return not [process for process in processes if process.is_running()]


ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the next run ends what a killed one left")


@ON_LINUX
@pytest.mark.slow
def test_a_run_outlives_its_parts_and_its_own_death_and_stops_without_a_trace(run):
    run.start()
    run.says("Ctrl-C stops it")
    assert f"http://127.0.0.1:{run.port}/dev/mailbox" in run.said()
    assert 'flask users create you@example.com --name "You" --role administrator' in run.said()
    assert run.answers()

    # Every part is killed; each comes back, and the queue has what it had.
    before = run.parts()
    url = (run.instance / "valkey" / "url").read_text()
    with Redis.from_url(url) as queue:
        queue.set("held", "yes")
        # It writes its file once a second, on a busy disk later; what it had not written is lost with it.
        assert queue.waitaof(1, 0, 0) == [1, 0]
    for part in before.values():
        part.kill()
    for name in before:
        run.says(f"{name} has stopped (")
    after = run.parts()
    assert not {part.pid for part in before.values()} & {part.pid for part in after.values()}
    until(run.answers, why=run.said)
    assert Redis.from_url(url).get("held") == b"yes"

    # The supervisor itself is killed; the kernel tells its children, and the next run finds nothing in its way.
    killed = run.everyone()
    run.process.kill()
    run.process.wait()
    run.start()
    run.says("Ctrl-C stops it")
    until(lambda: are_gone(killed))
    url = (run.instance / "valkey" / "url").read_text()
    assert Redis.from_url(url).get("held") == b"yes"

    everyone = run.everyone()
    run.process.terminate()
    assert run.process.wait(60) == 0
    assert are_gone(everyone)
    assert not (run.instance / "valkey" / "url").exists()
    assert (run.instance / "up.lock").read_text() == ""
    assert "Traceback" not in run.said()


@pytest.mark.slow
@pytest.mark.deep
def test_a_run_follows_its_code_and_its_settings_and_a_second_interrupt_ends_it_at_once(run):
    run.start()
    run.says("Ctrl-C stops it")

    # The listener stays open meanwhile, so whoever asks is kept waiting and not refused.
    served_before = run.parts()["web"].pid
    os.utime(run.root / "migrations" / "env.py")
    run.says("migrations/env.py changed; restarting web, schedule and worker")
    until(lambda: run.parts()["web"].pid != served_before, why=run.said)
    until(run.answers, why=run.said)

    (run.root / ".env").write_text("SITE_NAME=Harbour\n")
    run.says(".env changed; starting anew")
    run.says("Ctrl-C stops it", times=2)
    with urlopen(f"http://127.0.0.1:{run.port}/") as page:
        assert "Harbour" in page.read().decode()

    # A request that hangs would keep an orderly stop waiting.
    everyone = run.everyone()
    with socket.create_connection(("127.0.0.1", run.port)) as slow:
        slow.sendall(b"POST /auth/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n\r\n")
        run.process.send_signal(signal.SIGINT)
        run.says("Stopping; a second Ctrl-C ends it at once.")
        run.process.send_signal(signal.SIGINT)
        assert run.process.wait(60) == 0
    assert are_gone(everyone)


def test_a_refusal_is_one_sentence_and_exit_code_1(run):
    with socket.create_server(("127.0.0.1", run.port)):
        run.start()

        assert run.process.wait(60) == 1

    assert run.said() == f"Error: Port {run.port} is taken; choose another, for example: PORT={run.port + 1} make run\n"


def test_a_part_that_cannot_start_is_tried_again_after_pauses_that_grow(capsys, monkeypatch):
    now = 1000.0
    monkeypatch.setattr(supervisor, "time", SimpleNamespace(monotonic=lambda: now))

    class Broken:
        name = "valkey"
        starts = 0

        def start(self):
            self.starts += 1
            if self.starts > 1:
                raise ValkeyProblem("no room")

        def how_it_ended(self):
            return "it broke"

        def terminate(self):
            pass

    keeper, part = Supervisor(Console()), Broken()
    keeper.add(part)
    for _ in range(100):
        keeper._revive()
        now += 1
    keeper.stop()

    assert part.starts == 1 + 7
    pauses = [int(pause) for pause in re.findall(r"in (\d+) s", capsys.readouterr().out)]
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]


# ── what is in the way ──────────────────────────────────────────────────────────────────────────────────────


def test_two_runs_on_one_folder_are_refused(tmp_path):
    with preflight.only_run_on(tmp_path) as earlier_was_killed:
        assert not earlier_was_killed
        with (
            pytest.raises(CannotStart, match=rf"already runs on .* \(process {os.getpid()}\)"),
            preflight.only_run_on(tmp_path),
        ):
            pass  # pragma: no cover - it is never entered


def test_a_killed_run_is_known_by_what_it_left(tmp_path):
    (tmp_path / "up.lock").write_text("4242")

    with preflight.only_run_on(tmp_path) as earlier_was_killed:
        assert earlier_was_killed
    with preflight.only_run_on(tmp_path) as earlier_was_killed:
        assert not earlier_was_killed


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(CannotStart, match=r"Cannot write to .*: Not a directory\. Set INSTANCE_PATH"):
        preflight.check_folder(tmp_path / "file" / "instance")


def test_a_full_disk_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=100, f_frsize=4096))
    with pytest.raises(CannotStart, match="is full: 0 MiB are left"):
        preflight.check_folder(tmp_path)

    def no_space(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", no_space)
    with pytest.raises(CannotStart, match="is full; free some space"):
        preflight.check_folder(tmp_path)


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host"])
def test_a_host_that_is_not_ours_is_refused(host):
    with pytest.raises(CannotStart, match=f"HOST={host} is not an address of this machine"):
        preflight.listen(host, 8000)


def test_a_port_that_is_not_open_to_us_is_refused(monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(preflight, "_bound", refuse)
    with pytest.raises(CannotStart, match="Port 80 is not open to you"):
        preflight.listen("127.0.0.1", 80)


def test_a_port_that_a_killed_run_still_holds_is_waited_for(monkeypatch):
    bound, tries = preflight._bound, []

    def taken_at_first(host, port):
        tries.append(port)
        if len(tries) == 1:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        return bound(host, 0)

    monkeypatch.setattr(preflight, "_bound", taken_at_first)
    with preflight.listen("127.0.0.1", 8000, patience=5) as listener:
        assert listener.getsockname()[1]


@pytest.fixture
def app_on(tmp_path):
    def make(database_url: str):
        settings = Settings(environment="development", instance_path=tmp_path, database_url=database_url)
        return create_app(settings), settings

    return make


def test_a_database_that_cannot_be_reached_is_refused(app_on):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        app, settings = app_on(f"postgresql://user:hunter2@127.0.0.1:{closed.getsockname()[1]}/name")

        with (
            app.app_context(),
            pytest.raises(CannotStart, match=r"The database cannot be reached: .*refused") as refusal,
        ):
            preflight.check_database(settings)

    assert "hunter2" not in refusal.value.message


def test_a_database_from_a_newer_version_is_refused_and_a_new_one_waits_for_migrations(app_on, tmp_path):
    app, settings = app_on(f"sqlite:///{tmp_path / 'newer.db'}")
    with app.app_context():
        assert preflight.check_database(settings)

        engine = app.extensions["sqlalchemy"].engine
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE alembic_version (version_num TEXT)")
            connection.exec_driver_sql("INSERT INTO alembic_version VALUES ('fffffff')")

        with pytest.raises(CannotStart, match="migration fffffff, which this code does not know"):
            preflight.check_database(settings)
        engine.dispose()


def test_a_database_file_that_cannot_be_written_is_refused(app_on, tmp_path, monkeypatch):
    (tmp_path / "kept.db").touch()
    app, settings = app_on(f"sqlite:///{tmp_path / 'kept.db'}")
    monkeypatch.setattr(os, "access", lambda *_: False)

    with app.app_context(), pytest.raises(CannotStart, match=r"kept\.db cannot be written"):
        preflight.check_database(settings)


def test_a_queue_that_may_throw_jobs_away_is_refused(tmp_path):
    valkey = EmbeddedValkey(tmp_path / "with a space")
    url = valkey.start()
    try:
        assert preflight.check_queue(url) is None
        with Redis.from_url(url) as client:
            client.config_set("maxmemory-policy", "allkeys-lru")
            with pytest.raises(CannotStart, match="its maxmemory-policy is allkeys-lru, and must be noeviction"):
                preflight.check_queue(url)

            client.execute_command("ACL", "SETUSER", "guarded", "on", ">secret", "+@all", "-config")
            assert "does not say" in preflight.check_queue(re.sub(r":[^/@]+@", "guarded:secret@", url))
            with pytest.raises(CannotStart, match="refuses its user name or password"):
                preflight.check_queue(re.sub(r":[^/@]+@", ":wrong@", url))
    finally:
        valkey.stop()

    assert "jobs wait until it is back" in preflight.check_queue(url)


# ── what is said and what is noticed ────────────────────────────────────────────────────────────────────────


def test_pieces_of_any_size_become_whole_lines():
    written = []
    lines = Lines(
        SimpleNamespace(write_lines=lambda prefix, whole: written.extend(prefix + line for line in whole)), b"web | "
    )

    for piece in (b"on", b"e\ntwo\nthr", b"ee", b"x" * LONGEST_LINE, b"rest"):
        lines.feed(piece)
    lines.end()

    assert written == [b"web | one", b"web | two", b"web | three" + b"x" * LONGEST_LINE, b"web | rest"]


@pytest.fixture
def tree(tmp_path, monkeypatch):
    monkeypatch.setattr("app.cli.reload.ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app" / "static").mkdir(parents=True)
    (tmp_path / "app" / "page.py").touch()
    return tmp_path


def test_changed_code_is_noticed_once(tree):
    watch = Watch()
    (tree / "app" / "page.py").write_text("changed")
    (tree / "app" / "new.py").touch()
    (tree / "app" / "static" / "not_code.py").touch()
    os.utime(tree / "app" / "page.py", ns=(1, 1))

    changed = watch.changed()

    assert changed == [tree / "app" / "new.py", tree / "app" / "page.py"]
    assert not watch.touches_settings(changed)
    assert watch.changed() == []


def test_new_settings_replace_those_that_the_file_gave(tree, monkeypatch):
    (tree / ".env").write_text("SITE_NAME=From the file\nPORT=1234\n")
    monkeypatch.setenv("SITE_NAME", "From the file")
    monkeypatch.setenv("PORT", "9000")
    watch = Watch()
    (tree / ".env").write_text("SITE_NAME=Changed\n")
    os.utime(tree / ".env", ns=(1, 1))

    assert watch.touches_settings(watch.changed())
    assert "SITE_NAME" not in watch.environment_without_files()
    assert watch.environment_without_files()["PORT"] == "9000"
