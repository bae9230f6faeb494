"""Where it is measured: a folder of its own with a database, a Valkey and the two web servers."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from hashlib import sha256
from html import unescape
from pathlib import Path
from tempfile import mkdtemp
from types import TracebackType
from urllib.parse import urlencode

from argon2 import PasswordHasher, Type

from app.settings import Settings
from bench.load import ask, request
from run import EmbeddedValkey

ROOT = Path(__file__).resolve().parent.parent
PASSWORD = "a quieter harbour"

# Settings that would turn the measured paths aside are given here, whatever the environment says.
KNOWN = Settings.model_fields
PARAMETERS = {
    "ARGON2_MEMORY_KIB": KNOWN["argon2_memory_kib"].default,
    "ARGON2_TIME_COST": KNOWN["argon2_time_cost"].default,
    "ARGON2_PARALLELISM": KNOWN["argon2_parallelism"].default,
}


def hasher() -> PasswordHasher:
    """argon2id as the application is set up to use it."""
    return PasswordHasher(
        time_cost=PARAMETERS["ARGON2_TIME_COST"],
        memory_cost=PARAMETERS["ARGON2_MEMORY_KIB"],
        parallelism=PARAMETERS["ARGON2_PARALLELISM"],
        hash_len=32,
        salt_len=16,
        type=Type.ID,
    )


class Workspace:
    """A migrated database and an embedded Valkey in a folder that is gone afterwards, and the environment for both."""

    def __init__(self) -> None:
        self.folder = Path(mkdtemp(prefix="bench-"))
        self.database = self.folder / "gatehouse.db"
        self.templates = self.folder / "baseline"
        self._valkey = EmbeddedValkey(self.folder / "valkey")

    def __enter__(self) -> Workspace:
        self.templates.mkdir()
        try:
            self.environment = self._environment(self._valkey.start())
            self.run([sys.executable, "-m", "flask", "db", "upgrade"])
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._valkey.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _environment(self, queue_url: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name.lower() not in KNOWN}
        # Both sides are to import from byte code.
        kept.pop("PYTHONDONTWRITEBYTECODE", None)
        return kept | {
            "FLASK_APP": "wsgi",
            "ENVIRONMENT": "production",
            "BASE_URL": "https://127.0.0.1",
            "SECRET_KEY": secrets.token_urlsafe(48),
            "MAIL_URL": "smtp://127.0.0.1:9",
            "INSTANCE_PATH": str(self.folder),
            "DATABASE_URL": f"sqlite:///{self.database}",
            "REDIS_URL": queue_url,
            "LIMIT_SCALE": "1000000",
            "ACCESS_TOKEN_MINUTES": "60",
            "BENCH_DATABASE": str(self.database),
            "BENCH_TEMPLATES": str(self.templates),
            **{name: str(value) for name, value in PARAMETERS.items()},
        }

    @property
    def queue_url(self) -> str:
        return self.environment["REDIS_URL"]

    @contextmanager
    def without_redis(self) -> Iterator[None]:
        queue_url = self.environment.pop("REDIS_URL")
        self._valkey.stop()
        yield
        self._valkey.start()
        self.environment["REDIS_URL"] = queue_url

    def run(self, command: list[str]) -> str:
        """What `command` says. Raises RuntimeError with its last words when it fails."""
        process = subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False)
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{process.stderr[-2000:]}")
        return process.stdout

    def add_users(self, up_to: int) -> None:
        """Confirmed members, all with one password, each with a browser that has signed in before (`device_of`)."""
        with sqlite3.connect(self.database) as database:
            database.create_function("device_hash", 1, lambda number: sha256(device_of(number).encode()).hexdigest())
            (present,) = database.execute("SELECT coalesce(max(id), 0) FROM users").fetchone()
            values = {
                "first": present + 1,
                "last": up_to,
                "hashed": hasher().hash(PASSWORD),
                "at": "2026-01-01 00:00:00",
            }
            for statement in FILL:
                database.execute(statement, values)
        database.close()


FILL = (
    """
    WITH RECURSIVE numbers(n) AS (SELECT :first UNION ALL SELECT n + 1 FROM numbers WHERE n < :last)
    INSERT INTO users (id, email, name, hashed_password, is_active, email_verified_at, created_at, updated_at)
    SELECT n, 'person' || n || '@example.com', 'Person ' || n, :hashed, 1, :at, :at, :at FROM numbers
    """,
    """
    INSERT INTO user_roles (user_id, role_id)
    SELECT users.id, roles.id FROM users JOIN roles ON roles.name = 'member' WHERE users.id >= :first
    """,
    """
    INSERT INTO devices (user_id, token_hash, created_at, last_seen_at)
    SELECT id, device_hash(id), :at, :at FROM users WHERE id >= :first
    """,
)


def address_of(number: int) -> str:
    return f"person{number}@example.com"


def device_of(number: int) -> str:
    """What the browser of user `number` kept when it signed in before."""
    return f"device-{number:-<36}"


class Browser:
    """The little of a browser that is needed to sign in."""

    def __init__(self, port: int) -> None:
        self.cookies: dict[str, str] = {}
        self._port = port

    def get(self, path: str) -> str:
        return self._take(ask(self._port, request("GET", path, cookies=self.cookies).encode()))

    @cached_property
    def csrf_token(self) -> str:
        (token,) = set(re.findall(r'name="csrf_token" value="([^"]+)"', self.get("/auth/login")))
        return unescape(token)

    def sign_in_request(self, number: int) -> str:
        """The POST that signs user `number` in, from a browser that has done so before."""
        body = urlencode({"csrf_token": self.csrf_token, "email": address_of(number), "password": PASSWORD})
        cookies = self.cookies | {"__Host-device": device_of(number)}
        return request("POST", "/auth/login", cookies=cookies, body=body)

    def sign_in(self, number: int) -> None:
        answer = ask(self._port, self.sign_in_request(number).encode())
        assert answer.startswith(b"HTTP/1.1 302 "), answer
        self._take(answer)

    def _take(self, answer: bytes) -> str:
        head, _, body = answer.decode().partition("\r\n\r\n")
        for name, value in re.findall(r"(?mi)^set-cookie: ([^=]+)=([^;]*)", head):
            self.cookies[name] = value
        return body
