"""A real Valkey in a folder: persistence, socket, and shutdown."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from redis import Redis

from app.core.settings import ROOT
from run import EmbeddedValkey, ValkeyProblem


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
    """A folder whose path is short enough for a socket, unlike pytest's."""
    path = Path("/tmp") / f"valkey-test-{os.getpid()}-{tmp_path_factory.mktemp('v').name}"  # noqa: S108
    yield path
    shutil.rmtree(path, ignore_errors=True)


def ask(url: str, *command: str) -> object:
    with Redis.from_url(url, decode_responses=True, socket_timeout=5) as client:
        return client.execute_command(*command)


def test_embedded_valkey_listens_on_a_private_socket(valkeys, folder):
    url = valkeys(folder).start()

    assert url == f"unix://{folder}/valkey.sock"
    assert ask(url, "PING")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "valkey.sock").stat().st_mode & 0o777 == 0o700
    assert (folder / "url").stat().st_mode & 0o777 == 0o600
    assert (folder / "url").read_text() == url


@pytest.mark.parametrize("name", ["with a space", "long" * 30, "süß", "a%20b"])
def test_socket_moves_to_a_private_folder_where_it_cannot_be_created(valkeys, tmp_path, name):
    url = valkeys(tmp_path / name).start()

    assert ask(url, "PING")
    assert ask(url, "CONFIG", "GET", "port") == {"port": "0"}
    elsewhere = Path(url.removeprefix("unix://")).parent.parent
    assert elsewhere.stat().st_mode & 0o777 == 0o700
    assert (tmp_path / name / "url").read_text() == url
    assert (tmp_path / name / "appendonlydir").is_dir()


def test_embedded_valkey_never_evicts_jobs(valkeys, folder):
    url = valkeys(folder).start()

    answer = ask(url, "CONFIG", "GET", "maxmemory-policy", "appendonly", "appendfsync")

    assert answer == {"maxmemory-policy": "noeviction", "appendonly": "yes", "appendfsync": "everysec"}


def test_data_survives_a_stop_and_the_url_file_is_removed(valkeys, folder):
    valkey = valkeys(folder)
    ask(valkey.start(), "SET", "job", "1")

    valkey.stop()

    assert not valkey.is_alive()
    assert not (folder / "url").exists()
    assert ask(valkey.start(), "GET", "job") == "1"


def test_killed_valkey_restarts_with_its_data(valkeys, tmp_path):
    valkey = valkeys(tmp_path / "with a space")
    url = valkey.start()
    ask(url, "SET", "job", "1")

    valkey.kill()

    assert valkey.start() == url
    assert ask(url, "GET", "job") == "1"


def test_second_valkey_in_the_same_folder_is_refused(valkeys, folder):
    valkeys(folder).start()

    with pytest.raises(ValkeyProblem, match="already in use"):
        valkeys(folder).start()


def test_unusable_folder_is_one_sentence(valkeys, tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(ValkeyProblem, match=r"cannot start: .*Not a directory"):
        valkeys(tmp_path / "file" / "valkey").start()


def test_unreadable_data_is_reported_in_valkeys_words(valkeys, folder):
    (folder / "appendonlydir").mkdir(parents=True)
    (folder / "appendonlydir" / "appendonly.aof.manifest").write_text("nonsense\n")

    with pytest.raises(ValkeyProblem, match=r"it says .*manifest"):
        valkeys(folder).start()


def test_long_log_is_truncated_at_the_start(valkeys, folder):
    folder.mkdir()
    (folder / "valkey.log").write_bytes(bytes(1_000_001))

    valkeys(folder).start()

    assert (folder / "valkey.log").stat().st_size < 1_000_000


def test_starting_process_does_not_import_the_application():
    script = (
        "import sys, run; print([name for name in sys.modules if name.split('.')[0] in ('app', 'flask', 'sqlalchemy')])"
    )
    process = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)

    assert process.stdout.strip() == "[]"
