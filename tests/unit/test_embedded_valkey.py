"""A real Valkey in a folder: what it keeps, where it listens, and whom it ends."""

import os
import select
import subprocess
import sys
from pathlib import Path

import pytest
from redis import Redis

from app.embedded_valkey import EmbeddedValkey, ValkeyProblem
from app.settings import ROOT


@pytest.fixture
def valkeys():
    started: list[EmbeddedValkey] = []

    def make(folder: Path) -> EmbeddedValkey:
        started.append(EmbeddedValkey(folder))
        return started[-1]

    yield make
    for valkey in started:
        valkey.kill()


@pytest.fixture
def folder(tmp_path_factory):
    """A folder whose path is short enough for a socket, which pytest's own need not be."""
    made = Path("/tmp") / f"valkey-test-{os.getpid()}-{tmp_path_factory.mktemp('v').name}"  # noqa: S108
    yield made
    for path in sorted(made.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    made.rmdir()


def ask(url: str, *command: str) -> object:
    with Redis.from_url(url, decode_responses=True, socket_timeout=5) as client:
        return client.execute_command(*command)


def test_it_listens_on_a_socket_that_nobody_else_may_use(valkeys, folder):
    url = valkeys(folder).start()

    assert url == f"unix://{folder}/valkey.sock"
    assert ask(url, "PING")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "valkey.sock").stat().st_mode & 0o777 == 0o700
    assert (folder / "url").stat().st_mode & 0o777 == 0o600
    assert (folder / "url").read_text() == url


@pytest.mark.parametrize("name", ["with a space", "long" * 30, "süß", "a%20b"])
def test_where_a_socket_cannot_be_it_listens_on_loopback_with_a_password(valkeys, tmp_path, name):
    url = valkeys(tmp_path / name).start()

    assert url.startswith("redis://:")
    assert "@127.0.0.1:" in url
    assert ask(url, "PING")


def test_it_never_throws_a_job_away(valkeys, folder):
    url = valkeys(folder).start()

    found = ask(url, "CONFIG", "GET", "maxmemory-policy", "appendonly", "appendfsync")

    assert found == {"maxmemory-policy": "noeviction", "appendonly": "yes", "appendfsync": "everysec"}


def test_what_it_held_is_there_after_a_stop_and_nothing_points_to_a_stopped_one(valkeys, folder):
    valkey = valkeys(folder)
    ask(valkey.start(), "SET", "job", "1")

    valkey.stop()

    assert not valkey.is_alive()
    assert not (folder / "url").exists()
    assert ask(valkey.start(), "GET", "job") == "1"


def test_killed_it_starts_again_where_it_was_with_what_it_held(valkeys, tmp_path):
    valkey = valkeys(tmp_path / "with a space")
    url = valkey.start()
    ask(url, "SET", "job", "1")

    valkey.kill()

    assert valkey.start() == url
    assert ask(url, "GET", "job") == "1"


@pytest.mark.parametrize("says_where_it_is", [True, False])
def test_one_that_was_left_behind_is_ended_and_its_data_kept(valkeys, folder, says_where_it_is):
    left_behind = valkeys(folder)
    ask(left_behind.start(), "SET", "job", "1")
    if not says_where_it_is:
        (folder / "url").unlink()

    url = valkeys(folder).start()

    assert not left_behind.is_alive()
    assert ask(url, "GET", "job") == "1"


def test_a_stranger_under_the_kept_pid_is_left_alone(valkeys, folder):
    folder.mkdir()
    with subprocess.Popen(["sleep", "60"]) as stranger:
        (folder / "pid").write_text(str(stranger.pid))

        valkeys(folder).start()

        assert stranger.poll() is None
        stranger.kill()


def test_a_pid_file_of_nonsense_is_no_obstacle(valkeys, folder):
    folder.mkdir()
    (folder / "pid").write_text("nonsense")

    assert ask(valkeys(folder).start(), "PING")


def test_a_folder_that_cannot_be_is_one_sentence(valkeys, tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(ValkeyProblem, match=r"cannot start: .*Not a directory"):
        valkeys(tmp_path / "file" / "valkey").start()


def test_data_that_cannot_be_read_are_said_in_its_own_words(valkeys, folder):
    (folder / "appendonlydir").mkdir(parents=True)
    (folder / "appendonlydir" / "appendonly.aof.manifest").write_text("nonsense\n")

    with pytest.raises(ValkeyProblem, match=r"it says .*manifest"):
        valkeys(folder).start()


def test_a_long_log_is_dropped_at_the_start(valkeys, folder):
    folder.mkdir()
    (folder / "valkey.log").write_bytes(bytes(1_000_001))

    valkeys(folder).start()

    assert (folder / "valkey.log").stat().st_size < 1_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent is gone")
def test_a_killed_parent_takes_its_children_along():
    parent = (
        "import subprocess; from app.embedded_valkey import dying_with_parent;"
        "print(subprocess.Popen(dying_with_parent(['/bin/sleep', '60'])).pid, flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", parent], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        child = os.pidfd_open(int(process.stdout.readline()))

        process.kill()

        # A pidfd becomes readable when its process has ended.
        assert select.select([child], [], [], 10)[0]
        os.close(child)
