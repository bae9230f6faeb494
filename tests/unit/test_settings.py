import os
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.core.env_file import list_ambiguous, read_env_file
from app.core.settings import ROOT, SettingsError, flask_config
from app.mail.rendering import Message
from app.mail.sender import _mime
from app.settings import Settings, _expected, load_settings
from tests.support.deleted import needs

KEY = "fR7-zq0Lw3_vN8xKp2Yb6Tg9Hd4Jm1Cs"
LIVE = {"ENVIRONMENT": "production", "SECRET_KEY": KEY, "BASE_URL": "https://accounts.example.com"}


@pytest.fixture
def load(monkeypatch, tmp_path):
    """Read the settings from an environment, in a folder without a `.env`."""
    monkeypatch.chdir(tmp_path)

    def load(**environment):
        for name, value in ({"ENVIRONMENT": "testing", "INSTANCE_PATH": str(tmp_path)} | environment).items():
            monkeypatch.setenv(name, value)
        return load_settings()

    return load


WRONG = [
    ("ENVIRONMENT", "prod", "must be development, testing, staging or production"),
    ("DEBUG", "perhaps", "must be 1 (on) or 0 (off)"),
    ("PORT", "0", "must be a whole number from 1 to 65535"),
    ("PORT", "65536", "must be a whole number from 1 to 65535"),
    ("PORT", "http", "must be a whole number from 1 to 65535"),
    ("DATABASE_URL", "mysql://root@localhost/x", "use sqlite:///path/to.db or postgresql://"),
    ("DATABASE_URL", "gatehouse.db", "use sqlite:///path/to.db or postgresql://"),
    ("REDIS_URL", "localhost:6379", "use redis://host:6379/0"),
    ("REDIS_URL", "http://localhost:6379", "use redis://host:6379/0"),
    ("BASE_URL", "accounts.example.com", "use an address like https://accounts.example.com"),
    ("BASE_URL", "ftp://accounts.example.com", "use an address like https://accounts.example.com"),
    ("BASE_URL", "https://", "use an address like https://accounts.example.com"),
    ("BASE_URL", "https://user:secret@accounts.example.com", "use an address like https://accounts.example.com"),
    ("HOME_URL", "example.com", "use an address like https://accounts.example.com"),
    ("TERMS_URL", "javascript:alert(1)", "use an address like https://accounts.example.com"),
    ("PRIVACY_URL", "/privacy", "use an address like https://accounts.example.com"),
    ("CORS_ORIGINS", "https://app.example.com/path", "list origins like https://app.example.com"),
    ("CORS_ORIGINS", "app.example.com", "list origins like https://app.example.com"),
    ("CORS_ORIGINS", "*,https://app.example.com", "use only *"),
    ("MAIL_URL", "mail.example.com", "use smtp://user:password@host:587"),
    ("MAIL_URL", "http://mail.example.com", "use smtp://user:password@host:587"),
    ("MAIL_URL", "smtp://", "use smtp://user:password@host:587"),
    ("MAIL_URL", "smtp://KEY:12/def@host", "write / ? # and @ within user or password as %2F"),
    ("MAIL_URL", "smtp://key:12#def@host", "write / ? # and @ within user or password as %2F"),
    ("REDIS_URL", "redis://key:12/def@host", "write / ? # and @ within user or password as %2F"),
    ("DATABASE_URL", "postgresql://me:12/def@host/name", "write / ? # and @ within user or password as %2F"),
    ("DATABASE_URL", "sqlite:///file:x.db?uri=true", "use sqlite:///path/to.db or postgresql://"),
    ("MAIL_FROM", "post@exa mple.com", "use an address like Accounts <no-reply@example.com>"),
    ("MAIL_FROM", "jürgen@example.com", "use an address like Accounts <no-reply@example.com>"),
    ("MAIL_FROM", "Acme <no-reply>", "use an address like Accounts <no-reply@example.com>"),
    ("BASE_URL", "https://accounts.example.com/a//b", "use an address like https://accounts.example.com"),
    ("BASE_URL", "https://accounts.example.com/a/../b", "use an address like https://accounts.example.com"),
    ("MAIL_TIMEOUT_SECONDS", "0", "must be a number above 0, at most 120"),
    ("LOG_LEVEL", "loud", "must be DEBUG, INFO, WARNING, ERROR or CRITICAL"),
    ("LOG_FORMAT", "xml", "must be console or json"),
    ("SITE_NAME", "x" * 61, "must be at most 60 characters, on one line"),
    ("RELEASE", "a b", "must be at most 100 letters, digits and . _ @ + -"),
    ("SENTRY_TRACES_SAMPLE_RATE", "2", "must be a number from 0 to 1"),
    ("SITE_NAME", "Gate\nhouse", "must be at most 60 characters, on one line"),
    ("ACCENT_COLOR", "blue", "must be a color like #1f5f8b"),
    ("ACCENT_COLOR", "#12345g", "must be a color like #1f5f8b"),
    ("TIME_ZONE", "Berlin", "use a name like Europe/Berlin or UTC"),
    ("REGISTRATION", "maybe", "must be open, invite or closed"),
    ("PASSWORD_MIN_LENGTH", "7", "must be a whole number from 8 to 64"),
    ("PASSWORD_MAX_LENGTH", "63", "must be a whole number from 64 to 1024"),
    ("ARGON2_MEMORY_KIB", "7", "must be a whole number from 8 to 4194304"),
    ("BREACH_CHECK", "yes", "must be off, list, service or file"),
    ("BREACH_CHECK", "file", "BREACH_CHECK=file needs BREACH_CHECK_FILE"),
    ("SESSION_IDLE_MINUTES", "0", "must be a whole number from 1 to 527040"),
    ("SESSION_IDLE_MINUTES", "-5", "must be a whole number from 1 to 527040"),
    ("SESSION_IDLE_MINUTES", "12.5", "must be a whole number from 1 to 527040"),
    ("REMEMBER_ABSOLUTE_DAYS", "1000000000", "must be a whole number from 1 to 366"),
    ("RESET_LINK_MINUTES", "99999999999999", "must be a whole number from 5 to 10080"),
    ("TIME_ZONE", "../etc/passwd", "use a name like Europe/Berlin or UTC"),
    ("MAIL_FROM", "Gate\r\nBcc: x@example.com <a@example.com>", "use an address like Accounts <no-reply@example.com>"),
    ("ALLOWED_HOSTS", "*", "list names like accounts.example.com"),
    ("TRUSTED_PROXIES", "-1", "must be a whole number from 0 to 10"),
    ("TRUSTED_PROXIES", "true", "must be a whole number from 0 to 10"),
    ("LIMIT_SCALE", "0", "must be a number above 0, at most 1000000"),
    ("LIMIT_LOGIN", "often", "must be a rate like 30 per minute; 300 per hour"),
    ("LIMIT_LOGIN", "5 per fortnight", "must be a rate like 30 per minute; 300 per hour"),
    ("LIMIT_LOGINS", "5 per minute", "LIMIT_LOGINS is not a rate limit. The rate limits are LIMIT_API"),
    ("SECRET_KEY", "short", "SECRET_KEY is too weak"),
    ("SECRET_KEY", "a" * 64, "SECRET_KEY is too weak"),
    ("SECRET_KEY", "please-change-me-please-change-me", "SECRET_KEY is too weak"),
    ("SECRET_KEY", "a hard to guess string for flask", "SECRET_KEY is too weak"),
    ("SECRET_KEY", "you-will-never-guess-this-secret-key-2026", "SECRET_KEY is too weak"),
    ("SECRET_KEY", "ThisKeySignsTheCookiesOfOurApplication!", "SECRET_KEY is too weak"),
    ("BASE_URL", "https://accounts.example.com:https", "use an address like https://accounts.example.com"),
    ("BASE_URL", "https://accounts.example.com?x=1", "use an address like https://accounts.example.com"),
    ("BASE_URL", "https://[::1", "use an address like https://accounts.example.com"),
    ("DATABASE_URL", "postgresql://host:port/name", "use sqlite:///path/to.db or postgresql://"),
    ("REDIS_URL", "redis://host:port/0", "use redis://host:6379/0"),
    ("MAIL_URL", "smtp://host:port", "use smtp://user:password@host:587"),
    ("MAIL_FROM", "nobody", "use an address like Accounts <no-reply@example.com>"),
    ("MAIL_FROM", "A <a@example.com>, B <b@example.com>", "use an address like Accounts <no-reply@example.com>"),
    ("SECURITY_CONTACT", "nobody", "use an address like security@example.com"),
    ("SENTRY_DSN", "sentry.example.com", "use the address that Sentry shows"),
    ("BREACH_CHECK_URL", "pwned", "use an address like https://accounts.example.com"),
    ("ALLOWED_HOSTS", "https://accounts.example.com", "list names like accounts.example.com"),
    ("WORKER_PROCESSES", "0", "must be a whole number from 1 to 64"),
]


@pytest.mark.parametrize(("name", "value", "reason"), WRONG, ids=[f"{name}={value[:45]}" for name, value, _ in WRONG])
def test_wrong_value_is_one_sentence_naming_the_setting(load, name, value, reason):
    with pytest.raises(SettingsError) as refusal:
        load(**{name: value})

    (sentence,) = str(refusal.value).splitlines()
    assert name in sentence
    assert reason in sentence
    assert sentence.endswith(".")


def test_no_setting_shows_pydantic_wording():
    """Every setting that a type, a range, choices or a pattern can refuse has its own message."""
    for name, field in Settings.model_fields.items():
        if field.metadata or field.annotation not in {str, SecretStr, Path, list[str], list[SecretStr]}:
            if name in {"oauth_providers", "breach_check_file", "env_file"}:
                continue  # Parsed by our own code; any text is a path.
            assert re.match(r"[a-z0-9A-Z]", _expected(field)), name


def test_several_wrong_values_have_a_sentence_each(load):
    with pytest.raises(SettingsError) as refusal:
        load(PORT="x", TIME_ZONE="Berlin", LOG_FORMAT="xml")

    assert len(str(refusal.value).splitlines()) == 3


def test_wrong_secret_is_not_repeated(load):
    for name in ("SECRET_KEY", "MAIL_URL", "SENTRY_DSN"):
        with pytest.raises(SettingsError) as refusal:
            load(**{name: "hunter2", "PORT": "x"})
        assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize("environment", ["production", "staging"])
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"SECRET_KEY": ""}, "SECRET_KEY is not set. Create one with: python -c"),
        ({"BASE_URL": "http://accounts.example.com"}, "BASE_URL must start with https://"),
        ({"DEBUG": "1"}, "DEBUG shows code and secrets to visitors"),
        ({"ARGON2_MEMORY_KIB": "1024"}, "below OWASP's minimum"),
        ({"ARGON2_TIME_COST": "1"}, "below OWASP's minimum"),
        ({"SECRET_KEY_FALLBACKS": "short"}, "each key must have 32 or more random characters"),
    ],
    ids=str,
)
def test_production_requires_explicit_settings(load, environment, change, reason):
    with pytest.raises(SettingsError, match=reason.replace("(", r"\(")):
        load(**LIVE | {"ENVIRONMENT": environment} | change)


def test_default_environment_is_production(load):
    with pytest.raises(SettingsError, match="SECRET_KEY is not set"):
        load(ENVIRONMENT="")


def test_production_with_its_settings_starts(load):
    settings = load(**LIVE)

    assert settings.is_live
    assert settings.is_https
    assert settings.logs_json
    assert settings.trusted_hosts[0] == "accounts.example.com"


def test_development_key_is_generated_once_and_private(load, tmp_path):
    first = load(ENVIRONMENT="development").signing_keys

    assert load(ENVIRONMENT="development").signing_keys == first
    assert len(first[0]) >= 43
    assert (tmp_path / "secret_key").stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_folder_is_one_sentence(load, tmp_path):
    tmp_path.chmod(0o500)

    with pytest.raises(SettingsError, match="Set INSTANCE_PATH to a folder that can be written"):
        assert load(ENVIRONMENT="development").signing_keys


def test_instance_path_that_is_a_file_is_one_sentence(load, tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(SettingsError, match="Set INSTANCE_PATH to a folder that can be written"):
        assert load(ENVIRONMENT="development", INSTANCE_PATH=str(tmp_path / "file")).signing_keys


def test_dotenv_file_is_read_and_the_environment_wins(load, tmp_path):
    (tmp_path / ".env").write_text("SITE_NAME=From the file\nPORT=9001\nSOMETHING_ELSE=of another program\n")

    settings = load(PORT="9002")

    assert (settings.site_name, settings.port) == ("From the file", 9002)


def test_unreadable_dotenv_file_is_one_sentence(load, tmp_path):
    (tmp_path / ".env").write_bytes(b"SITE_NAME=\xff\xfe\n")

    with pytest.raises(SettingsError) as refusal:
        load()
    assert len(str(refusal.value).splitlines()) == 1


WRITTEN = [
    ("plain", "plain", True),
    ("'Acme & Co'", "Acme & Co", True),
    ('"Accounts <no-reply@example.com>"', "Accounts <no-reply@example.com>", True),
    ("'pa$HOMEword'", "pa$HOMEword", True),
    ("smtp://user:p%23@mail.example.com:587", "smtp://user:p%23@mail.example.com:587", True),
    ("a#b", "a#b", True),
    ("Acme & Co", "Acme & Co", False),
    ("pa$HOMEword", "pa$HOMEword", False),
    ("pa${HOME}word", "pa${HOME}word", False),
    ('"pa$HOMEword"', "pa$HOMEword", False),
    ("name # not a part", "name", False),
    (r"a\b", r"a\b", False),
    (r"'it\'s'", "it's", False),
]


@pytest.mark.parametrize(("written", "read", "alike"), WRITTEN)
def test_env_file_is_read_literally_and_names_ambiguous_lines(tmp_path, written, read, alike):
    file = tmp_path / "gatehouse.env"
    file.write_text(f"# SITE_NAME=Comment\n\nSITE_NAME={written}\nPORT=8001\n")

    assert read_env_file(file) == {"SITE_NAME": read, "PORT": "8001"}
    assert list_ambiguous(file) == ([] if alike else ["SITE_NAME"])


@pytest.mark.parametrize(("written", "read", "alike"), [case for case in WRITTEN if case[2]])
def test_shell_reads_unambiguous_lines_the_same_way(tmp_path, written, read, alike):
    (tmp_path / "gatehouse.env").write_text(f"SITE_NAME={written}\n")

    shell = ["sh", "-c", '. "$1/gatehouse.env"; printf %s "$SITE_NAME"', "sh", str(tmp_path)]
    assert subprocess.run(shell, capture_output=True, text=True, timeout=60, check=True).stdout == read


def test_env_file_ranks_between_environment_and_dotenv(load, tmp_path, monkeypatch):
    (tmp_path / ".flaskenv").write_text("ENVIRONMENT=development\n")
    (tmp_path / ".env").write_text("SITE_NAME=Of the tree\nACCENT_COLOR='#000000'\n")
    file = tmp_path / "gatehouse.env"
    file.write_text(f"ENVIRONMENT=production\nSECRET_KEY={KEY}\nBASE_URL=https://example.com\nSITE_NAME=$X\nPORT=1\n")
    monkeypatch.setenv("SITE_NAME", "Of the tree")  # As `flask` loads it.

    settings = load(ENVIRONMENT="development", ENV_FILE=str(file), PORT="8001")

    assert (settings.environment, settings.site_name, settings.port) == ("production", "$X", 8001)
    assert settings.accent_color == Settings.model_fields["accent_color"].default
    assert settings.env_file == file


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "cannot be read: No such file or directory."),
        (b"SITE_NAME=\xff\n", "cannot be read: it is not UTF-8 text."),
        (b"PORT=1\n\nSITE_NAME='it's'\n", ": line 3 is not NAME=value. Put a value"),
        (b"PORT=1\nSITE_NAME\n", ": line 2 is not NAME=value. Put a value"),
    ],
)
def test_unreadable_env_file_stops_the_start_with_its_name(load, tmp_path, content, sentence):
    file = tmp_path / "gatehouse.env"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(SettingsError) as refusal:
        load(ENV_FILE=str(file))
    assert str(refusal.value).startswith(f"{file}")
    assert sentence in str(refusal.value)


def test_lists_are_separated_by_commas(load):
    settings = load(
        ALLOWED_HOSTS=" a.example.com , b.example.com,",
        SECRET_KEY_FALLBACKS=f"{KEY}1,{KEY}2",
        CORS_ORIGINS="https://app.example.com",
        SECRET_KEY=KEY,
    )

    assert settings.allowed_hosts == ["a.example.com", "b.example.com"]
    assert settings.cors_origins == ["https://app.example.com"]
    assert settings.signing_keys == (KEY, f"{KEY}1", f"{KEY}2")


@pytest.mark.parametrize(
    ("url", "read"),
    [
        ("postgres://u:p@host/name", "postgresql+psycopg://u:p@host/name"),
        ("postgresql://u:p@host/name", "postgresql+psycopg://u:p@host/name"),
        ("postgresql+psycopg://host/name", "postgresql+psycopg://host/name"),
    ],
)
def test_database_url_may_have_a_providers_scheme(load, url, read):
    assert load(DATABASE_URL=url).database.render_as_string(hide_password=False) == read


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("", "{instance}/gatehouse.db"),
        ("sqlite:///my.db", "{instance}/my.db"),
        ("sqlite:///data/my.db?timeout=5", "{instance}/data/my.db"),
        ("sqlite:////srv/x.db", "/srv/x.db"),
        ("sqlite:////srv/my%20files/x.db", "/srv/my files/x.db"),
    ],
)
@pytest.mark.parametrize("folder", ["plain", "what?", "a%20b c#d"])
def test_sqlite_file_is_the_named_one(load, tmp_path, url, file, folder):
    instance = tmp_path / folder
    settings = load(DATABASE_URL=url, INSTANCE_PATH=str(instance))

    assert settings.database.database == file.format(instance=instance)


@pytest.mark.parametrize(
    ("typed", "name", "address"),
    [
        ("no-reply@example.com", "", "no-reply@example.com"),
        ("Acme, Inc. <no-reply@example.com>", "Acme, Inc.", "no-reply@example.com"),
        ('"Acme, \\"Inc.\\"" <no-reply@example.com>', 'Acme, "Inc."', "no-reply@example.com"),
        ("Acme; a: b <no-reply@example.com>", "Acme; a: b", "no-reply@example.com"),
        ("“Zoë” (Ltd) <no-reply@bücher.example>", "“Zoë” (Ltd)", "no-reply@xn--bcher-kva.example"),
        ("<a+b@EXAMPLE.com>", "", "a+b@example.com"),
    ],
)
def test_sender_is_split_into_name_and_address(load, typed, name, address):
    sender = load(MAIL_FROM=typed).sender

    assert (sender.name, sender.address) == (name, address)


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("HTTPS://Accounts.EXAMPLE.com:443/", "https://accounts.example.com"),
        ("https://accounts.example.com.", "https://accounts.example.com"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("https://faß.example", "https://xn--fa-hia.example"),
        ("https://host:8443/accounts/", "https://host:8443/accounts"),
        ("http://[0:0::1]:8000", "http://[::1]:8000"),
        ("http://[::1]:80", "http://[::1]"),
    ],
)
def test_base_url_is_normalized(load, typed, read):
    assert load(BASE_URL=typed).public_url == read


@pytest.mark.parametrize(
    ("values", "address"),
    [
        ({"HOST": "::1", "PORT": "8000"}, "no-reply@[IPv6:::1]"),
        ({"HOST": "127.0.0.1"}, "no-reply@[127.0.0.1]"),
        ({"BASE_URL": "https://[2001:db8::1]"}, "no-reply@[IPv6:2001:db8::1]"),
    ],
)
def test_site_without_a_name_has_a_sender(load, values, address):
    settings = load(**values)

    assert settings.sender.address == address
    message = _mime(
        Message("test", None, "ada@example.com", "Test", "text", "<p>html</p>"),
        message_id="<x@localhost>",
        at=datetime.now(UTC),
        settings=settings,
    )
    assert address in str(message["From"])


@pytest.mark.parametrize("prefix", ["", "/accounts"])
def test_cookie_is_limited_to_this_host_and_path(load, prefix):
    config = flask_config(load(**LIVE | {"BASE_URL": f"https://example.com{prefix}"}))

    assert config["SESSION_COOKIE_NAME"] == ("__Secure-session" if prefix else "__Host-session")
    assert config["APPLICATION_ROOT"] == (prefix or "/")


@pytest.mark.parametrize(
    ("url", "queue", "storage"),
    [
        ("valkey://host:6379/0", "redis://host:6379/0", "redis://host:6379/0"),
        ("valkeys://host:6379/0", "rediss://host:6379/0", "rediss://host:6379/0"),
        ("unix:///run/v.sock", "unix:///run/v.sock", "redis+unix:///run/v.sock"),
        ("redis+unix:///run/v.sock", "unix:///run/v.sock", "redis+unix:///run/v.sock"),
    ],
)
def test_queue_url_may_use_any_dialect(load, url, queue, storage):
    settings = load(REDIS_URL=url)

    assert settings.queue_url == queue
    assert flask_config(settings)["RATELIMIT_STORAGE_URI"] == storage


def test_embedded_queue_of_the_instance_is_found(load, tmp_path):
    assert load().queue_url == ""
    assert flask_config(load())["RATELIMIT_STORAGE_URI"] == "memory://"

    (tmp_path / "valkey").mkdir()
    (tmp_path / "valkey" / "url").write_text("unix:///run/v.sock\n")

    assert load().queue_url == "unix:///run/v.sock"


@pytest.mark.parametrize(
    ("host", "port", "url"),
    [
        ("localhost", "8000", "http://localhost:8000"),
        ("127.0.0.1", "8000", "http://127.0.0.1:8000"),
        ("0.0.0.0", "9000", "http://localhost:9000"),
        ("::1", "9000", "http://[::1]:9000"),
        ("::", "9000", "http://localhost:9000"),
        ("192.168.1.5", "80", "http://192.168.1.5"),
    ],
)
def test_base_url_follows_host_and_port(load, host, port, url):
    settings = load(HOST=host, PORT=port)

    assert settings.public_url == url
    assert not settings.is_https


def test_trailing_slash_is_removed_from_the_base_url(load):
    assert load(BASE_URL="https://accounts.example.com/").public_url == "https://accounts.example.com"


def test_limits_are_scaled_and_never_disabled(load):
    settings = load(LIMIT_LOGIN="30 per minute; 300 per 2 hours", LIMIT_SCALE="0.001")
    assert settings.limit("login") == "1 per minute; 1 per 2 hours"

    settings = load(LIMIT_SCALE="2.5")
    assert settings.limit("login") == "75 per minute; 750 per 2 hours"


def test_server_database_gets_a_bounded_pool(load):
    options = flask_config(load(DATABASE_URL="postgresql://host/name", WEB_THREADS="12"))["SQLALCHEMY_ENGINE_OPTIONS"]

    assert (options["pool_size"], options["pool_pre_ping"], options["pool_recycle"]) == (12, True, 1800)
    sized = flask_config(load(DATABASE_POOL_SIZE="3"))["SQLALCHEMY_ENGINE_OPTIONS"]
    assert sized["pool_size"] == 3


def test_mail_credentials_may_contain_any_character(load):
    settings = load(MAIL_URL="smtp://ada%40example.com:p%2Fw%3A%20d@mail.example.com:587")

    assert settings.smtp_credentials() == ("ada@example.com", "p/w: d")
    assert load(MAIL_URL="smtp://mail.example.com").smtp_credentials() is None


def test_default_sender_is_this_site(load):
    assert load(BASE_URL="https://accounts.example.com").sender == ("Gatehouse", "no-reply", "accounts.example.com")
    assert load(SITE_NAME='The "Gate", Inc. <x@y>').contact == "no-reply@accounts.example.com"
    assert load().contact == "no-reply@accounts.example.com"
    assert load(MAIL_FROM="Post <post@example.com>").sender == ("Post", "post", "example.com")
    assert load(SECURITY_CONTACT="security@example.com").contact == "security@example.com"


def test_settings_are_frozen_and_hide_secrets(load):
    settings = load(SECRET_KEY=KEY, MAIL_URL="smtp://u:hunter2@host", SENTRY_DSN="https://hunter3@sentry.example/1")

    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1
    for secret in (KEY, "hunter2", "hunter3"):
        assert secret not in repr(settings)


def test_flask_cookie_settings_are_secure(load):
    config = flask_config(load(**LIVE))

    assert config["SESSION_COOKIE_NAME"] == "__Host-session"
    assert config["SESSION_COOKIE_SECURE"]
    assert config["SESSION_COOKIE_HTTPONLY"]
    assert config["SESSION_COOKIE_SAMESITE"] == "Lax"
    assert config["MAX_CONTENT_LENGTH"] == 256 * 1024


PROVIDER = {"OAUTH_ACME_CLIENT_ID": "gatehouse", "OAUTH_ACME_DISCOVERY_URL": "https://idp.example/.well-known/x"}


def test_providers_are_read_by_name(load):
    needs("oauth")
    environment = {"OAUTH_GITHUB_CLIENT_ID": "a", "OAUTH_GOOGLE_CLIENT_ID": "b", "OAUTH_MICROSOFT_CLIENT_ID": "c"}
    more = {"OAUTH_OUR_IDP_CLIENT_ID": "d", "OAUTH_OUR_IDP_DISCOVERY_URL": "https://idp.example/.well-known/x"}
    more["OAUTH_OUR_IDP_EMAIL_DOMAINS"] = "Example.com, bücher.example"
    providers = load(**environment, **more).oauth_providers
    assert [(provider.name, provider.label) for provider in providers] == [
        ("github", "GitHub"),
        ("google", "Google"),
        ("microsoft", "Microsoft"),
        ("our-idp", "Our Idp"),
    ]
    assert providers[1].discovery_url == "https://accounts.google.com/.well-known/openid-configuration"
    assert providers[3].email_domains == ["example.com", "xn--bcher-kva.example"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"OAUTH_ACME_CLIENT_ID": ""}, "OAUTH_ACME_CLIENT_ID is not set, but another OAUTH_ACME_... is"),
        ({"OAUTH_ACME_DISCOVERY_URL": ""}, "OAUTH_ACME_DISCOVERY_URL is not set"),
        ({"OAUTH_ACME_DISCOVERY_URL": "http://idp.example/"}, "OAUTH_ACME_DISCOVERY_URL: use an https address"),
        ({"OAUTH_ACME_DISCOVERY_URL": "https://u@idp.example/"}, "OAUTH_ACME_DISCOVERY_URL: use an https address"),
        ({"OAUTH_ACME_DISCOVERY_URL": "file:///etc/passwd"}, "OAUTH_ACME_DISCOVERY_URL: use an https address"),
        ({"OAUTH_ACME_CLIENT_SECRT": "x"}, "OAUTH_ACME_CLIENT_SECRT is unknown"),
        ({"OAUTH_CLIENT_ID": "x"}, "OAUTH_CLIENT_ID is unknown"),
        ({"OAUTH_ACME_EMAIL_DOMAINS": "*.example.com"}, "OAUTH_ACME_EMAIL_DOMAINS: list domains like example.com"),
        ({"OAUTH_ACME_EMAIL_DOMAINS": "@example.com"}, "OAUTH_ACME_EMAIL_DOMAINS: list domains like example.com"),
        ({"OAUTH_ACME_TRUST_EMAIL": "perhaps"}, "OAUTH_ACME_TRUST_EMAIL: "),
        ({"OAUTH_GITHUB_DISCOVERY_URL": "https://x.example/"}, "OAUTH_GITHUB_DISCOVERY_URL: GitHub has none"),
        ({"OAUTH_PROVIDERS": "google"}, "OAUTH_PROVIDERS is unknown"),
    ],
)
def test_wrong_provider_stops_the_start_and_names_the_setting(load, changes, words):
    needs("oauth")
    with pytest.raises(SettingsError, match=re.escape(words)):
        load(**PROVIDER | changes)


def test_env_example_can_be_loaded(load, tmp_path):
    (tmp_path / ".env").write_text(Path(ROOT / ".env.example").read_text())

    assert load(ENVIRONMENT="development").environment == "development"
