"""The settings of the core folders, their validation and defaults; those of features are in their `settings.py`."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
import secrets
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from sqlalchemy import URL
from zxcvbn_rs_py import zxcvbn

from app.core import urls
from app.core.lifetimes import Lifetimes

ROOT = Path(__file__).resolve().parent.parent.parent
WEAK_KEY_WORDS = ("change-me", "changeme", "secret", "password", "default", "example", "dev")
IN_MEMORY = Path("/dev/shm")  # noqa: S108 - the folder created there is checked.
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
ENCODE = "write / ? # and @ within user or password as %2F %3F %23 and %40"
MAKE_A_KEY = 'python -c "import secrets; print(secrets.token_urlsafe(48))"'
# Of connections to PostgreSQL: a peer that is gone without a word is noticed within a minute.
KEEPALIVES = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 30_000}
_RATE = r"[1-9]\d* per ([1-9]\d* )?(second|minute|hour|day)s?"
Limit = Annotated[str, Field(pattern=rf"^{_RATE}(; ?{_RATE})*$", description="a rate like 30 per minute; 300 per hour")]


@contextmanager
def _advising(advice: str) -> Iterator[None]:
    """Replace the text of an error about a value by the advice."""
    try:
        yield
    except (ValueError, ZoneInfoNotFoundError, OSError):
        raise ValueError(advice) from None


class SettingsError(Exception):
    """A setting is missing or invalid; the message says which, and what to set."""


class CoreSettings(Lifetimes):
    """Frozen values; lists are comma-separated, lifetimes carry their unit in the name."""

    environment: Literal["development", "testing", "staging", "production"] = "production"
    env_file: Path | None = None
    debug: bool = False
    instance_path: Path = ROOT / "instance"
    secret_key: SecretStr = SecretStr("")
    secret_key_fallbacks: list[SecretStr] = []
    database_url: str = ""
    redis_url: str = ""
    host: str = "localhost"
    port: int = Field(8000, ge=1, le=65535)
    base_url: str = ""
    allowed_hosts: list[str] = []
    trusted_proxies: int = Field(0, ge=0, le=10)
    cors_origins: list[str] = []
    return_hosts: list[str] = []
    cookie_domain: str = ""
    disabled_features: list[str] = []

    mail_url: SecretStr = SecretStr("")
    mail_from: str = ""
    mail_timeout_seconds: float = Field(15, gt=0, le=120)

    metrics_token: SecretStr = SecretStr("")
    sentry_dsn: SecretStr = SecretStr("")
    sentry_traces_sample_rate: float = Field(0, ge=0, le=1)
    release: str = Field(
        "", max_length=100, pattern=r"^[\w.@+-]*$", description="at most 100 letters, digits and . _ @ + -"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    log_format: Literal["console", "json", ""] = ""

    security_contact: str = ""
    support_email: str = ""
    site_name: str = Field(
        "Gatehouse", max_length=60, pattern=r"^[^\x00-\x1f\x7f]+$", description="at most 60 characters, on one line"
    )
    accent_color: str = Field("#1f5f8b", pattern=r"^#[0-9a-fA-F]{6}$", description="a color like #1f5f8b")
    time_zone: str = "UTC"
    home_url: str = ""
    terms_url: str = ""
    privacy_url: str = ""
    registration: Literal["open", "invite", "closed"] = "open"

    password_min_length: int = Field(12, ge=8, le=64)
    password_max_length: int = Field(256, ge=64, le=1024)
    argon2_memory_kib: int = Field(19456, ge=8, le=2**22)
    argon2_time_cost: int = Field(2, ge=1, le=20)
    argon2_parallelism: int = Field(1, ge=1, le=16)
    hashing_concurrency: int = Field(2, ge=1, le=64)
    breach_check: Literal["off", "list", "service", "file"] = "list"
    breach_check_file: Path | None = None
    breach_check_url: str = "https://api.pwnedpasswords.com/range/"
    breach_check_timeout_seconds: float = Field(1.5, gt=0, le=10)

    csrf_token_minutes: int = Field(12 * 60, ge=1, le=366 * 24 * 60)

    worker_processes: int = Field(2, ge=1, le=64)
    schedule_seconds: float = Field(2, gt=0, le=60)
    web_processes: int = Field(2, ge=1, le=64)
    web_threads: int = Field(4, ge=1, le=256)
    database_pool_size: int = Field(0, ge=0, le=200)
    database_patience_seconds: int = Field(9, ge=2, le=300)

    limit_scale: float = Field(1, gt=0, le=1_000_000)
    limit_login: Limit = "30 per minute; 300 per hour"
    limit_register: Limit = "10 per minute; 60 per hour"
    limit_mail: Limit = "10 per minute; 60 per hour"
    limit_write: Limit = "120 per minute; 1500 per hour"
    limit_link: Limit = "30 per minute"
    limit_password: Limit = "20 per minute"
    limit_strength: Limit = "60 per minute"
    limit_api: Limit = "600 per minute"
    limit_refresh: Limit = "60 per minute"

    @classmethod
    def is_setting(cls, name: str) -> bool:
        """Return whether an environment variable is a setting."""
        return name.lower() in cls.model_fields

    @classmethod
    def read_more(cls, written: Mapping[str, str]) -> dict[str, Any]:
        """Return values that are read from several of the written ones (by lower-case name). Raises ValueError."""
        return {}

    # ── parsing ──────────────────────────────────────────────────────────────

    @field_validator(
        "secret_key_fallbacks", "allowed_hosts", "cors_origins", "return_hosts", "disabled_features", mode="before"
    )
    @classmethod
    def _split_commas(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @field_validator("instance_path", mode="after")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        with _advising("use a name like Europe/Berlin or UTC"):
            ZoneInfo(value)
        return value

    @field_validator("home_url", "terms_url", "privacy_url", "breach_check_url")
    @classmethod
    def _web_address(cls, value: str) -> str:
        advice = "use an address like https://accounts.example.com"
        parts = urls.split(value, advice)
        if value and (parts.scheme not in {"http", "https"} or not parts.hostname or parts.username):
            raise ValueError(advice)
        return value

    @field_validator("base_url")
    @classmethod
    def _public_address(cls, value: str) -> str:
        return urls.public_url(value, "use an address like https://accounts.example.com") if value else ""

    @field_validator("mail_from", "security_contact", "support_email")
    @classmethod
    def _mail_address(cls, value: str, info: ValidationInfo) -> str:
        examples = {"mail_from": "Accounts <no-reply@example.com>", "security_contact": "security@example.com"}
        example = examples.get(info.field_name or "", "support@example.com")
        if value:
            urls.sender(value, f"use an address like {example}")
        return value

    @field_validator("allowed_hosts")
    @classmethod
    def _host_names(cls, value: list[str]) -> list[str]:
        advice = "list names like accounts.example.com, without https:// and without a port"
        if not all(re.fullmatch(r"\.?[^\s/:*@\[\]]+|\[[0-9a-fA-F:.]+\]", name) for name in value):
            raise ValueError(advice)
        with _advising(advice):
            return ["." * name.startswith(".") + urls.ascii_host(name.removeprefix(".")) for name in value]

    @field_validator("sentry_dsn")
    @classmethod
    def _sentry(cls, value: SecretStr) -> SecretStr:
        advice = "use the address that Sentry shows for the project, like https://key@sentry.example.com/1"
        parts = urls.split(value.get_secret_value(), advice)
        if value.get_secret_value() and not (parts.scheme in {"http", "https"} and parts.username and parts.path):
            raise ValueError(advice)
        return value

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: list[str]) -> list[str]:
        advice = "list origins like https://app.example.com, without a path"
        if "*" in value and len(value) > 1:
            raise ValueError("list origins, or use only *, which allows every site without credentials")
        if any(origin != "*" and urlsplit(origin).path for origin in value):
            raise ValueError(advice)
        with _advising(advice):
            return [origin if origin == "*" else urls.origin(origin) for origin in value]

    @field_validator("return_hosts")
    @classmethod
    def _hosts_of_apps(cls, value: list[str]) -> list[str]:
        advice = "list hosts like wiki.example.com or wiki.example.com:8443, without https:// and without a path"
        with _advising(advice):
            origins = [urls.origin(f"https://{host}") for host in value if not re.search(r"[/@\s*]", host)]
        if len(origins) != len(value):
            raise ValueError(advice)
        return [origin.removeprefix("https://") for origin in origins]

    @field_validator("cookie_domain")
    @classmethod
    def _domain(cls, value: str) -> str:
        domain = value.removeprefix(".").lower()
        if value and (not re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)*\.[a-z][a-z0-9-]*", domain)):
            raise ValueError("use a domain like example.com")
        return domain

    @field_validator("database_url")
    @classmethod
    def _database(cls, value: str) -> str:
        advice = "use sqlite:///path/to.db or postgresql://user:password@host/name"
        parts = urls.split(value, advice)
        if value and (
            parts.scheme not in {"sqlite", "postgresql", "postgres", "postgresql+psycopg"} or "://" not in value
        ):
            raise ValueError(advice)
        if parts.scheme == "sqlite" and (parts.netloc or "uri=true" in parts.query or parts.path.startswith("/file:")):
            raise ValueError(advice)
        if parts.scheme != "sqlite" and urls.hides_credentials(parts._replace(query="")):
            raise ValueError(f"{advice}; {ENCODE}")
        with _advising(advice):
            urls.database(value or "sqlite://", folder=Path())
        return value

    @field_validator("redis_url")
    @classmethod
    def _redis(cls, value: str) -> str:
        advice = "use redis://host:6379/0, rediss://... or unix:///path/to/socket"
        parts = urls.split(value, advice)
        scheme = parts.scheme
        if scheme.startswith(("redis", "valkey")) and urls.hides_credentials(parts):
            raise ValueError(f"{advice}; {ENCODE}")
        if value and (
            scheme not in {"redis", "rediss", "valkey", "valkeys", "unix", "redis+unix"} or "://" not in value
        ):
            raise ValueError(advice)
        return re.sub("^valkey", "redis", value).removeprefix("redis+")

    @field_validator("mail_url")
    @classmethod
    def _mail(cls, value: SecretStr) -> SecretStr:
        advice = "use smtp://user:password@host:587 or smtps://user:password@host:465"
        parts = urls.split(value.get_secret_value(), advice)
        if urls.hides_credentials(parts):
            raise ValueError(f"{advice}; {ENCODE}")
        if value.get_secret_value() and (parts.scheme not in {"smtp", "smtps"} or not parts.hostname):
            raise ValueError(advice)
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        self._check_secrets()
        base = urlsplit(self.base_url)
        if self.is_live and base.scheme == "http" and not is_loopback(base.hostname or ""):
            raise ValueError(
                "BASE_URL must start with https:// in production and staging, because passwords are sent over it"
            )
        self._check_apps()
        if self.is_live and self.debug:
            raise ValueError("DEBUG shows code and secrets to visitors. It can't be on in production or staging")
        if self.breach_check == "file" and not (self.breach_check_file and self.breach_check_file.is_file()):
            raise ValueError("BREACH_CHECK=file needs BREACH_CHECK_FILE, a sorted list of SHA-1 hashes")
        if self.argon2_memory_kib < 8 * self.argon2_parallelism:
            raise ValueError("ARGON2_MEMORY_KIB must be at least 8 times ARGON2_PARALLELISM")
        if self.is_live and (self.argon2_memory_kib < 7168 or self.argon2_memory_kib * self.argon2_time_cost < 35840):
            raise ValueError("ARGON2_MEMORY_KIB and ARGON2_TIME_COST are below OWASP's minimum (19456 and 2)")
        return self

    def _check_apps(self) -> None:
        """Check that the app cookie reaches the other apps."""
        own, domain = self.public_host, self.cookie_domain
        if domain and not f".{own}".endswith(f".{domain}"):
            raise ValueError(f"COOKIE_DOMAIN must be {own}, the host of BASE_URL, or a domain above it")
        for host in self.return_hosts:
            name = urlsplit(f"//{host}").hostname or ""
            if name != own and not (domain and f".{name}".endswith(f".{domain}")):
                raise ValueError(
                    f"RETURN_HOSTS: {host} gets no cookie. Set COOKIE_DOMAIN to a domain above it and {own}"
                )

    def _check_secrets(self) -> None:
        token = self.metrics_token.get_secret_value()
        if token and (len(token) < 16 or not token.isascii() or not token.isprintable() or " " in token):
            raise ValueError("METRICS_TOKEN must have 16 or more printable characters, without spaces")
        key = self.secret_key.get_secret_value()
        if not self.is_live and not key:
            return
        if not key:
            raise ValueError(f"SECRET_KEY is not set. Create one with: {MAKE_A_KEY}")
        if _is_weak(key):
            raise ValueError(f"SECRET_KEY is too weak. Use 32 or more random characters: {MAKE_A_KEY}")
        if any(_is_weak(old.get_secret_value()) for old in self.secret_key_fallbacks):
            raise ValueError("SECRET_KEY_FALLBACKS: each key must have 32 or more random characters")

    # ── derived values ───────────────────────────────────────────────────────────────────────────

    @property
    def is_live(self) -> bool:
        """Return whether this is production or staging, which require secure values."""
        return self.environment in {"production", "staging"}

    @property
    def is_development(self) -> bool:
        return self.environment == "development"

    @property
    def metrics_folder(self) -> Path:
        """Return the folder for the metrics of this machine's processes, in memory if possible."""
        if not IN_MEMORY.is_dir():
            return self.instance_path / "metrics"
        return IN_MEMORY / f"gatehouse-{hashlib.sha256(str(self.instance_path).encode()).hexdigest()[:16]}"

    @cached_property
    def public_url(self) -> str:
        """The URL of the site: an origin, and a path if it is mounted under one."""
        if self.base_url:
            return self.base_url
        host = "localhost" if self.host in {"0.0.0.0", "::"} else self.host  # noqa: S104 - compared, never bound to
        return urls.origin(f"http://{urls.ascii_host(host)}:{self.port}")

    @cached_property
    def listen_addresses(self) -> list[tuple[str, int]]:
        """Host and port of each listening socket: `localhost` is the loopback of IPv4 and, if there is one, of IPv6."""
        hosts = ["127.0.0.1", "::1"] if self.host == "localhost" and has_ipv6_loopback() else [self.host]
        return [(host.replace("localhost", "127.0.0.1"), self.port) for host in hosts]

    @property
    def path_prefix(self) -> str:
        """The path that the application is mounted at, such as `/accounts`; empty at the root."""
        return urlsplit(self.public_url).path

    @property
    def public_host(self) -> str:
        """The host of `public_url`, an IPv6 address in brackets."""
        return urls.ascii_host(urlsplit(self.public_url).hostname or "")

    @property
    def is_https(self) -> bool:
        """Whether browsers use TLS; always assumed in production and staging."""
        return self.is_live or self.public_url.startswith("https://")

    @property
    def return_origins(self) -> list[str]:
        """The origins of the apps that people come from to sign in."""
        return [urls.origin(f"{'https' if self.is_https else 'http'}://{host}") for host in self.return_hosts]

    @cached_property
    def trusted_hosts(self) -> list[str]:
        """The host names that are accepted, loopback included for local health checks."""
        return list(dict.fromkeys([self.public_host, *self.allowed_hosts, *LOOPBACK]))

    @property
    def database(self) -> URL:
        if not self.database_url:
            return URL.create("sqlite", database=str(self.instance_path / "gatehouse.db"))
        return urls.database(self.database_url, folder=self.instance_path)

    @cached_property
    def sender(self) -> urls.Sender:
        if self.mail_from:
            return urls.sender(self.mail_from, "")
        return urls.no_reply(self.site_name, self.public_host)

    @property
    def contact(self) -> str:
        """Return the address for security reports: SECURITY_CONTACT, or the sender of emails."""
        return urls.sender(self.security_contact, "").address if self.security_contact else self.sender.address

    @property
    def logs_json(self) -> bool:
        return (self.log_format or ("console" if self.is_development else "json")) == "json"

    @cached_property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    @cached_property
    def queue_url(self) -> str:
        """`REDIS_URL`, or the URL of the embedded Valkey in `instance/` ('' if there is none)."""
        if self.redis_url:
            return self.redis_url
        url_file = self.instance_path / "valkey" / "url"
        return url_file.read_text().strip() if url_file.is_file() else ""

    @cached_property
    def signing_keys(self) -> tuple[str, ...]:
        """The current secret key, then the earlier ones, which still verify."""
        return (self._current_key(), *(old.get_secret_value() for old in self.secret_key_fallbacks))

    def _current_key(self) -> str:
        key = self.secret_key.get_secret_value()
        if key:
            return key
        self.make_instance()
        kept = self.instance_path / "secret_key"
        try:
            with os.fdopen(os.open(kept, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
                file.write(secrets.token_urlsafe(48))
        except FileExistsError:
            pass
        except OSError as problem:
            raise self._unwritable(problem) from None
        return kept.read_text()

    def make_instance(self) -> None:
        """Create the instance folder if it does not exist. Raises SettingsError."""
        try:
            self.instance_path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as problem:
            raise self._unwritable(problem) from None

    def _unwritable(self, problem: OSError) -> SettingsError:
        return SettingsError(
            f"Cannot write to {self.instance_path}: {problem.strerror}. "
            "Set INSTANCE_PATH to a folder that can be written."
        )

    def cookie_name(self, name: str) -> str:
        """With the prefix `__Host-`, or `__Secure-` under a path; none without TLS."""
        if not self.is_https:
            return name
        return f"__Secure-{name}" if self.path_prefix else f"__Host-{name}"

    def limit(self, what: str) -> str:
        """The rate limit named `what`, multiplied by LIMIT_SCALE (never below one)."""
        parts = [part.strip().partition(" ") for part in str(getattr(self, f"limit_{what}")).split(";")]
        return "; ".join(f"{max(1, round(int(count) * self.limit_scale))} {rest}" for count, _, rest in parts)

    def smtp_credentials(self) -> tuple[str, str] | None:
        parts = urlsplit(self.mail_url.get_secret_value())
        return (unquote(parts.username), unquote(parts.password or "")) if parts.username else None


def _is_weak(key: str) -> bool:
    """Return whether a key is too short, has few different characters, is repetitive, or consists of words."""
    words = sum(key.lower().count(word) * len(word) for word in WEAK_KEY_WORDS)
    repeats = any(
        key[:size] * (len(key) // size) == key[: len(key) // size * size] for size in range(1, len(key) // 2 + 1)
    )
    return len(key) < 32 or len(set(key)) < 12 or repeats or words * 4 > len(key) or _is_sentence(key)


def _is_sentence(key: str) -> bool:
    """Return whether a text has white space, or consists half of words: random keys stay far below that."""
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", key.lower() if key.isupper() else key)
    long_words = [word.lower() for word in re.findall(r"[A-Z]?[a-z]{3,14}(?![a-z])", text) if len(word) > 3]
    words = [word for word in long_words if zxcvbn(word).guesses_log10 < 0.7 * len(word) + 0.5]
    return bool(re.search(r"\s", key)) or sum(map(len, words)) * 2 > len(key)


def flask_config(settings: CoreSettings) -> dict[str, Any]:
    """The configuration of Flask and its extensions, derived from the settings."""
    current, *earlier = settings.signing_keys
    return {
        "ENV_NAME": settings.environment,
        "DEBUG": settings.debug,
        "TESTING": settings.environment == "testing",
        "SECRET_KEY": current,
        "SECRET_KEY_FALLBACKS": earlier,
        "PREFERRED_URL_SCHEME": urlsplit(settings.public_url).scheme,
        "MAX_CONTENT_LENGTH": 256 * 1024,
        "MAX_FORM_MEMORY_SIZE": 128 * 1024,
        "MAX_FORM_PARTS": 100,
        "APPLICATION_ROOT": settings.path_prefix or "/",
        "SESSION_COOKIE_NAME": settings.cookie_name("session"),
        "SESSION_COOKIE_SECURE": settings.is_https,
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "SESSION_REFRESH_EACH_REQUEST": False,
        "PERMANENT_SESSION_LIFETIME": settings.remember_absolute_days * 24 * 3600,
        "SQLALCHEMY_DATABASE_URI": settings.database,
        "SQLALCHEMY_ENGINE_OPTIONS": _engine_options(settings),
        "WTF_CSRF_TIME_LIMIT": settings.csrf_token_minutes * 60,
        "WTF_CSRF_CHECK_DEFAULT": False,
        "WTF_I18N_ENABLED": False,
        # Some browsers send no Referer; Origin, Sec-Fetch-Site and a cookie that no other host can
        # plant (`__Host-`) say what it would.
        "WTF_CSRF_SSL_STRICT": False,
        "RATELIMIT_STORAGE_URI": _limiter_storage(settings.queue_url),
        "RATELIMIT_STORAGE_OPTIONS": {"socket_connect_timeout": 0.5, "socket_timeout": 0.5}
        if settings.queue_url
        else {},
        "RATELIMIT_IN_MEMORY_FALLBACK_ENABLED": True,
        "RATELIMIT_KEY_PREFIX": "gatehouse",
        "RATELIMIT_STRATEGY": "counting-window",  # app/web/limits.py
        # With a cookie of this name Flask-Login would not call our request loader. No request can have one.
        "REMEMBER_COOKIE_NAME": "no;cookie",
        "SESSION_PROTECTION": None,
    }


def _engine_options(settings: CoreSettings) -> dict[str, Any]:
    if settings.database.get_backend_name() == "sqlite":
        return {"hide_parameters": True, "connect_args": {"timeout": 15}}
    size = settings.database_pool_size or settings.web_threads
    return {
        "hide_parameters": True,
        "pool_size": size,
        "max_overflow": 4,
        "pool_timeout": 5,
        "pool_pre_ping": True,
        "pool_recycle": 1800,
        # With a pooler in transaction mode (PgBouncer), statements prepared earlier may not exist.
        "connect_args": {"connect_timeout": 3, "prepare_threshold": None, **KEEPALIVES},
    }


def _limiter_storage(queue_url: str) -> str:
    return queue_url.replace("unix://", "redis+unix://", 1) if queue_url else "memory://"


def has_ipv6_loopback() -> bool:
    """Return whether IPv6 loopback exists: containers often lack it, even where `localhost` resolves to it."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether `host` (a name or an address) is this machine."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
