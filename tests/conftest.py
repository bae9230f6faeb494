"""Fixtures for every test. Each pytest process starts its servers when a test first needs them."""

from __future__ import annotations

import gc
import hashlib
import io
import json
import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Flask
from jinja2 import FileSystemBytecodeCache
from pydantic import SecretStr

pytest.register_assert_rewrite("tests.support")

from tests.support import deleted  # noqa: E402

deleted.install()

from app import create_app  # noqa: E402
from app.core.extensions import limiter  # noqa: E402
from app.core.redis_client import connect  # noqa: E402
from app.settings import Settings  # noqa: E402
from app.web.logs import init_logs  # noqa: E402
from run import EmbeddedValkey  # noqa: E402
from tests.support.browser import Browser  # noqa: E402
from tests.support.clock import Clock  # noqa: E402
from tests.support.commands import flask_command  # noqa: E402
from tests.support.databases import (  # noqa: E402
    SIGNING_KEY,
    copied,
    databases,
    emptied,
    forget_environment,
    fresh_database,
    let_go,
    migrated,
    postgres_server,
)
from tests.support.mailbox import Mailbox, work_off  # noqa: E402
from tests.support.people import People, Person  # noqa: E402
from tests.support.provider import Provider, running_provider  # noqa: E402
from tests.support.smtp_server import SmtpServer, running_smtp_server  # noqa: E402
from tests.support.template_queries import refuse_queries_of_templates  # noqa: E402
from tests.support.workspace import run_folder, worker_name  # noqa: E402

MARKERS = (
    "settings(**values): what the application of this test is set to",
    "own_app: this test changes the application itself, so it gets one of its own",
    "databases(*names): run on these in `make test`; without it on SQLite there and on PostgreSQL in `make test-deep`",
    "postgresql: needs PostgreSQL; set for each test that runs on it",
    "browser: needs a Chromium",
    "slow: starts processes",
    "deep: only `make test-deep` runs it",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-documents", action="store_true", help="write docs/permissions.md anew")


def pytest_configure(config: pytest.Config) -> None:
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    forget_environment()
    refuse_queries_of_templates()


def pytest_collection_finish() -> None:
    """Exclude imported modules from garbage collection, which took a tenth of the run."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


def pytest_unconfigure(config: pytest.Config) -> None:
    logging.getLogger().handlers.clear()  # Their stream is closed by pytest.
    if not hasattr(config, "workerinput"):
        shutil.rmtree(run_folder(), ignore_errors=True)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that uses a database on both, on PostgreSQL only in `make test-deep` unless a marker names it."""
    if "database_url" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("databases")
        metafunc.parametrize("database_url", databases(*(marker.args if marker else ())), indirect=True)


# ── servers ──


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of this worker's migrated PostgreSQL database."""
    with postgres_server() as url:
        yield migrated(url, tmp_path_factory.mktemp("migrate"))


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, to be copied."""
    folder = tmp_path_factory.mktemp("template")
    migrated(f"sqlite:///{folder / 'gatehouse.db'}", folder)
    return folder / "gatehouse.db"


@pytest.fixture(scope="session")
def valkey() -> Iterator[EmbeddedValkey]:
    """This worker's Valkey."""
    server = EmbeddedValkey(run_folder() / f"valkey-{worker_name()}")
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def _smtp_server() -> Iterator[SmtpServer]:
    with running_smtp_server() as server:
        yield server


@pytest.fixture(scope="session")
def _provider() -> Iterator[Provider]:
    with running_provider() as provider:
        yield provider


@pytest.fixture
def provider(_provider: Provider) -> Provider:
    """A fake provider, Acme; a test changes its responses to make it misbehave."""
    _provider.reset()
    return _provider


@pytest.fixture
def smtp_server(_smtp_server: SmtpServer) -> SmtpServer:
    """An SMTP server that accepts everything; a test changes `answers` to refuse."""
    _smtp_server.reset()
    return _smtp_server


@pytest.fixture
def redis_url(valkey: EmbeddedValkey) -> str:
    """The URL of an empty Valkey."""
    client = connect(valkey.url)
    client.flushall()
    client.close()
    return valkey.url


@pytest.fixture
def database_url(request: pytest.FixtureRequest, folder: Path) -> str:
    """The URL of a migrated database without users."""
    if request.param == "postgresql":
        return emptied(request.getfixturevalue("postgres"))
    return copied(request.getfixturevalue("sqlite_template"), folder)


@pytest.fixture
def folder() -> Path:
    """An empty folder whose path is the same for every test of this worker."""
    folder = run_folder() / f"test-{worker_name()}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


# ── the application ──


@pytest.fixture
def settings(request: pytest.FixtureRequest, folder: Path, database_url: str, redis_url: str) -> Settings:
    """Cheap hashes and generous limits; `@pytest.mark.settings(...)` changes them."""
    values: dict[str, Any] = {
        "environment": "testing",
        "secret_key": SIGNING_KEY,
        "database_url": database_url,
        "redis_url": redis_url,
        "instance_path": folder / "instance",
        "base_url": "http://gatehouse.test",
        "argon2_memory_kib": 8,
        "database_patience_seconds": 60,
        "argon2_time_cost": 1,
        "limit_scale": 1000,
    }
    for marker in reversed(list(request.node.iter_markers("settings"))):
        values |= marker.kwargs
    return deleted.make_settings(values)


def _make(settings: Settings) -> Flask:
    app = create_app(settings)
    # The limiter is shared by the process: forget that an earlier test had no queue.
    limiter._storage_dead = False
    limiter._check_backend_count = 0
    # Applications with the same constants share their compiled templates.
    constants = f"{vars(app.jinja_env.globals['site'])} {settings.path_prefix}"
    folder = run_folder() / f"templates-{hashlib.sha256(constants.encode()).hexdigest()[:16]}"
    folder.mkdir(exist_ok=True)
    app.jinja_env.bytecode_cache = FileSystemBytecodeCache(str(folder))
    return app


@pytest.fixture
def make_app(settings: Settings, clock: Clock) -> Iterator[Callable[..., Flask]]:
    """Create an application for this test with changed settings."""
    apps: list[Flask] = []

    def make(**changes: Any) -> Flask:
        app = _make(deleted.make_settings(settings.model_dump() | changes) if changes else settings)
        app.extensions["clock"] = clock
        apps.append(app)
        return app

    yield make
    for app in apps:
        let_go(app)


@pytest.fixture(scope="session")
def _kept() -> dict[str, tuple[Flask, dict[str, Any]]]:
    return {}


@pytest.fixture
def keep_app(
    settings: Settings, clock: Clock, _kept: dict[str, tuple[Flask, dict[str, Any]]]
) -> Iterator[Callable[..., Flask]]:
    """Return an application with some settings changed, shared by all tests that change the same ones.

    Creating one takes longer than most tests.
    """
    used: list[Flask] = []

    def keep(**changes: Any) -> Flask:
        changed = deleted.make_settings(settings.model_dump() | changes) if changes else settings
        key = repr({name: _plain(value) for name, value in changed.model_dump().items()})
        if key not in _kept:
            _kept[key] = _make(changed), vars(limiter).copy()
        app, limiter_state = _kept[key]
        # The limiter and the log are shared by the process and belong to the application created last.
        vars(limiter).update(limiter_state)
        init_logs(changed)
        changed.make_instance()
        app.extensions["clock"] = clock
        used.append(app)
        return app

    yield keep
    for app in used:
        let_go(app)


def _plain(value: Any) -> Any:
    return value.get_secret_value() if isinstance(value, SecretStr) else value


@pytest.fixture
def app(request: pytest.FixtureRequest, make_app: Callable[..., Flask], keep_app: Callable[..., Flask]) -> Flask:
    """The application, configured by the test's markers."""
    return make_app() if any(request.node.iter_markers("own_app")) else keep_app()


@pytest.fixture
def fresh_app(make_app: Callable[..., Flask], database_url: str, tmp_path: Path) -> Flask:
    """The application on an empty database of its own."""
    return make_app(database_url=fresh_database(database_url, tmp_path))


@pytest.fixture
def clock() -> Clock:
    """The application's clock, which stands still until a test moves it."""
    return Clock()


# ── users and their clients ──


@pytest.fixture
def client(app: Flask) -> Browser:
    """A browser."""
    return Browser(app)


@pytest.fixture
def new_browser(app: Flask) -> Callable[..., Browser]:
    """Create another browser without cookies."""
    return lambda **how: Browser(app, **how)


@pytest.fixture
def people(app: Flask) -> People:
    return People(app)


@pytest.fixture
def ada(people: People) -> Person:
    """A member with a confirmed address."""
    return people.add("ada@example.com", name="Ada Lovelace")


@pytest.fixture
def admin(people: People) -> Person:
    return people.add("grace@example.com", name="Grace Hopper", roles=("administrator",))


@pytest.fixture
def signed_in(client: Browser, ada: Person) -> Browser:
    """Ada's browser, signed in."""
    client.sign_in(ada)
    return client


@pytest.fixture
def mailbox(app: Flask) -> Mailbox:
    """The emails sent so far; reading it runs the due jobs first."""
    return Mailbox(app)


@pytest.fixture(name="work_off")
def _work_off(app: Flask) -> Callable[[], int]:
    """Run the due jobs."""
    return lambda: work_off(app)


@pytest.fixture
def flask(app: Flask) -> Callable[..., Result]:
    """Run a command: `flask("users", "list")`."""
    return lambda *arguments, typed="": flask_command(app, *arguments, typed=typed)


# ── the log ──


class Log:
    """Log records since the test started, as text and as one object per line."""

    def __init__(self, stream: io.StringIO) -> None:
        self._stream = stream

    @property
    def text(self) -> str:
        return self._stream.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]

    def requests(self) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["logger"] == "app.requests"]


@pytest.fixture
def log(app: Flask) -> Iterator[Log]:
    (handler,) = logging.getLogger().handlers
    assert isinstance(handler, logging.StreamHandler)
    stream = io.StringIO()
    before = handler.setStream(stream)
    yield Log(stream)
    with suppress(ValueError):
        handler.setStream(before)
