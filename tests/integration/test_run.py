"""`make run`: one real run of all parts, and each obstacle as one sentence."""

import errno
import json
import os
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
from app.core.settings import ROOT, has_ipv6_loopback
from app.ops import prepare
from app.ops.prepare import CannotStart
from app.settings import Settings
from run import EmbeddedValkey
from tests.faults.caller import Caller
from tests.support.deployment import until
from tests.support.workspace import free_port

# Settings of the test machine that would lead a run away from its own folder.
ELSEWHERE = {"BASE_URL", "DATABASE_URL", "HOST", "INSTANCE_PATH", "MAIL_URL", "REDIS_URL", "SECRET_KEY"}
TREE = ("app", "migrations", "run.py", "wsgi.py", "gunicorn.conf.py", "Procfile", "Procfile.dev", ".flaskenv")


class Run:
    """`make run` in a copy of the tree, so that its code can change while it runs."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.instance = root / "instance"
        self.output_file = root.parent / "output.txt"
        self.port = free_port()
        for name in TREE:
            (shutil.copytree if (ROOT / name).is_dir() else shutil.copy2)(ROOT / name, root / name)

    def start(self, **more: str) -> None:
        self.output_file.write_text("")
        with self.output_file.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "run.py"],
                cwd=self.root,
                env=self.environment(**more),
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
        return kept | {"PORT": str(self.port), "WEB_PROCESSES": "1", "WORKER_PROCESSES": "1"} | more

    def output(self) -> str:
        return self.output_file.read_text()

    def wait_until_it_serves(self) -> None:
        until(lambda: self.answers() or self.process.poll() is not None, why=self.output)
        assert self.answers(), self.output()

    def answers(self, host: str = "127.0.0.1") -> bool:
        try:
            with urlopen(f"http://{host}:{self.port}/readyz", timeout=5) as answer:
                return b'"queue":"ok"' in answer.read()
        except (URLError, ConnectionError, TimeoutError):
            return False

    def everyone(self) -> list[psutil.Process]:
        """Return every process of the run, including itself."""
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]

    def find(self, *words: str) -> psutil.Process:
        """Return the first process whose command line has these words."""

        def found() -> psutil.Process | None:
            for process in self.everyone():
                with suppress(psutil.Error):
                    if all(word in " ".join(process.cmdline()) for word in words):
                        return process
            return None

        return until(found, why=self.output)


@pytest.fixture
def run(tmp_path):
    (tmp_path / "tree").mkdir()
    process = Run(tmp_path / "tree")
    yield process
    if process.process.poll() is None:
        process.process.terminate()
        process.process.wait(60)


def are_gone(processes: list[psutil.Process]) -> bool:
    return not [process for process in processes if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.slow
def test_run_serves_works_stops_cleanly_and_keeps_its_data(run):
    run.start()
    run.wait_until_it_serves()
    url = f"http://localhost:{run.port}"
    assert url in run.output()
    assert f"{url}/dev/mailbox" in run.output()
    assert 'flask users create you@example.com --name "You" --role administrator' in run.output()
    assert run.answers("[::1]") or not has_ipv6_loopback()
    caller = Caller(url)
    assert caller.register("ada@example.com").status == 303
    until(lambda: json.loads(caller.get("/dev/mailbox.json").text), why=run.output)

    everyone = run.everyone()
    counted = settings_of(run.instance).metrics_folder
    assert counted.exists()
    os.killpg(run.process.pid, signal.SIGINT)  # A terminal sends it on Ctrl-C to every process of the group.
    assert run.process.wait(60) == 0
    until(lambda: are_gone(everyone))
    assert not (run.instance / "valkey" / "url").exists()
    assert not counted.exists()
    assert "Traceback" not in run.output()

    run.start()
    run.wait_until_it_serves()
    assert json.loads(Caller(url).get("/dev/mailbox.json").text)[0]["to"] == "ada@example.com"


@pytest.mark.slow
@pytest.mark.deep
def test_changed_code_is_reloaded(run):
    run.start()
    run.wait_until_it_serves()
    web, worker = (run.find(name).children()[0].pid for name in ("gunicorn", "watchfiles"))

    os.utime(run.root / "app" / "__init__.py")

    until(lambda: web not in [child.pid for child in run.find("gunicorn").children()], why=run.output)
    until(lambda: worker not in [child.pid for child in run.find("watchfiles").children()], why=run.output)
    run.wait_until_it_serves()


@pytest.mark.slow
@pytest.mark.deep
@pytest.mark.parametrize("part", ["gunicorn", "valkey-server"])
def test_failed_process_ends_the_run_with_a_message(run, part):
    run.start()
    run.wait_until_it_serves()
    everyone = run.everyone()

    run.find(part).kill()

    assert run.process.wait(60) == 1
    assert "Everything was stopped, because one part has ended" in run.output()
    assert ("web stopped" if part == "gunicorn" else "valkey stopped") in run.output()
    until(lambda: are_gone(everyone))


@pytest.mark.slow
@pytest.mark.deep
def test_closed_terminal_ends_the_run(run):
    run.start()
    run.wait_until_it_serves()
    everyone = run.everyone()

    os.killpg(run.process.pid, signal.SIGHUP)

    assert run.process.wait(60) == 0
    until(lambda: are_gone(everyone))


@pytest.mark.slow
@pytest.mark.deep
def test_outside_development_nothing_is_reloaded(run):
    run.start(ENVIRONMENT="testing", SECRET_KEY="k" * 8 + "Zq3v9Lx1Tw7Rb5Nc2Hd8Jf4Gm6Ps0Yu")
    run.wait_until_it_serves()

    assert "--reload" not in " ".join(run.find("gunicorn").cmdline())
    assert not [process for process in run.everyone() if "watchfiles" in " ".join(process.cmdline())]


@pytest.mark.slow
def test_refusal_is_one_sentence_with_exit_code_1(run):
    with socket.create_server(("127.0.0.1", run.port)):
        run.start()

        assert run.process.wait(60) == 1

    expected = f"Error: Port {run.port} is in use. Choose another, for example: PORT={run.port + 1} make run\n"
    assert run.output() == expected


# ── obstacles ──


def test_read_only_folder_is_refused(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(CannotStart, match=r"Cannot write to .*: Not a directory\. Set INSTANCE_PATH"):
        prepare.check_folder(tmp_path / "file" / "instance")


def test_full_disk_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=100, f_frsize=4096))
    with pytest.raises(CannotStart, match="is full: 0 MiB left"):
        prepare.check_folder(tmp_path)

    def no_space(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", no_space)
    with pytest.raises(CannotStart, match=r"is full\. Free some space"):
        prepare.check_folder(tmp_path)


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host"])
def test_foreign_host_is_refused(host):
    with pytest.raises(CannotStart, match=f"HOST={host} is not an address of this machine"):
        prepare.check_port(SimpleNamespace(host=host, listen_addresses=[(host, 8000)]))


def test_privileged_port_is_refused(monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(CannotStart, match="Port 80 needs more privileges"):
        prepare.check_port(SimpleNamespace(host="localhost", listen_addresses=[("127.0.0.1", 80)]))


@pytest.fixture
def app_on(tmp_path):
    def make(database_url: str):
        settings = Settings(environment="development", instance_path=tmp_path, database_url=database_url)
        return create_app(settings), settings

    return make


def test_unreachable_database_is_refused(app_on):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        app, settings = app_on(f"postgresql://user:hunter2@127.0.0.1:{closed.getsockname()[1]}/name")

        with (
            app.app_context(),
            pytest.raises(CannotStart, match=r"Can't reach the database: .*refused") as refusal,
        ):
            prepare.check_database(settings)

    assert "hunter2" not in refusal.value.message


def test_newer_database_is_refused_and_a_new_one_waits_for_migrations(app_on, tmp_path):
    app, settings = app_on(f"sqlite:///{tmp_path / 'newer.db'}")
    with app.app_context():
        assert prepare.check_database(settings)

        engine = app.extensions["sqlalchemy"].engine
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE alembic_version (version_num TEXT)")
            connection.exec_driver_sql("INSERT INTO alembic_version VALUES ('fffffff')")

        with pytest.raises(CannotStart, match="migration fffffff, which this version does not know"):
            prepare.check_database(settings)
        engine.dispose()


def test_read_only_database_file_is_refused(app_on, tmp_path, monkeypatch):
    (tmp_path / "kept.db").touch()
    app, settings = app_on(f"sqlite:///{tmp_path / 'kept.db'}")
    monkeypatch.setattr(os, "access", lambda *_: False)

    with app.app_context(), pytest.raises(CannotStart, match=r"kept\.db is not writable"):
        prepare.check_database(settings)


def test_queue_that_may_evict_jobs_is_refused(tmp_path):
    valkey = EmbeddedValkey(tmp_path / "with a space")
    url = valkey.start()
    try:
        assert prepare.check_queue(url) is None
        with Redis.from_url(url) as client:
            client.config_set("maxmemory-policy", "allkeys-lru")
            with pytest.raises(CannotStart, match=r"is allkeys-lru\. Set it to noeviction"):
                prepare.check_queue(url)

            client.execute_command("ACL", "SETUSER", "guarded", "on", ">secret", "+@all", "-config")
            assert "Can't read" in prepare.check_queue(url.replace("unix://", "unix://guarded:secret@"))
            with pytest.raises(CannotStart, match="refuses its user name or password"):
                prepare.check_queue(url.replace("unix://", "unix://guarded:wrong@"))
    finally:
        valkey.stop()

    assert "jobs wait until it is back" in prepare.check_queue(url)


def test_folder_of_another_run_is_refused_and_a_stale_url_is_not(tmp_path):
    valkey = EmbeddedValkey(tmp_path / "valkey")
    valkey.start()
    try:
        with pytest.raises(CannotStart, match=r"Gatehouse already runs on .* \(its Valkey is process \d+\)"):
            prepare.check_embedded_valkey(settings_of(tmp_path))
    finally:
        valkey.stop()
    (tmp_path / "valkey" / "url").write_text(valkey.url)

    prepare.check_embedded_valkey(settings_of(tmp_path))


def settings_of(instance: Path) -> Settings:
    return Settings(environment="development", instance_path=instance)


@pytest.mark.databases("sqlite")
def test_new_database_is_migrated_and_the_next_command_shown(flask, app):
    done = flask("prepare", "--json")

    assert done.exit_code == 0, done.output
    started = json.loads(done.stdout)
    assert (started["procfile"], started["environment"]) == ("Procfile", {"ENVIRONMENT": "testing"})


# ── addresses ──


@pytest.mark.parametrize(("has_ipv6", "hosts"), [(True, ["127.0.0.1", "::1"]), (False, ["127.0.0.1"])])
def test_localhost_listens_on_ipv4_and_ipv6(monkeypatch, has_ipv6, hosts):
    monkeypatch.setattr("app.core.settings.has_ipv6_loopback", lambda: has_ipv6)

    assert Settings(environment="development", port=8001).listen_addresses == [(host, 8001) for host in hosts]
    assert Settings(environment="development", port=8001).public_url == "http://localhost:8001"
    assert Settings(environment="development", host="0.0.0.0").listen_addresses == [("0.0.0.0", 8000)]
