"""The documentation matches the product."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from flask import Flask

from app import create_app
from app.core.settings import ROOT
from app.features import load_features
from app.oauth.providers import Provider, read_providers
from app.settings import Settings, load_settings
from tests.support.databases import SIGNING_KEY
from tests.support.deleted import ALL
from tests.support.sources import method_calls, recorded_kinds

SENTENCES = load_features().audit_texts
COMMANDS = {name for name in load_features().commands if " " not in name}

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
SECURITY = (ROOT / "docs" / "security.md").read_text()
SETTING = re.compile(r"^#?([A-Z][A-Z0-9_]*)=(.*)$", re.MULTILINE)
LINK = re.compile(r"(?:\]\(|src=\")(?!https?:|mailto:)([^)\"\s]+)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}


@pytest.fixture
def flask_app(tmp_path: Path) -> Flask:
    return create_app(Settings(environment="testing", secret_key=SIGNING_KEY, instance_path=tmp_path))


# ── settings ──


def test_env_example_has_exactly_the_settings() -> None:
    documented = {name.lower(): value for name, value in SETTING.findall((ROOT / ".env.example").read_text())}
    of_providers = {name: documented.pop(name) or "x" for name in [*documented] if name.startswith("oauth_")}

    assert sorted([*documented, "oauth_providers"]) == sorted(Settings.model_fields)
    (shown,) = read_providers(of_providers)
    assert shown.model_fields_set == set(Provider.model_fields)


def test_env_example_shows_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("SECRET_KEY", SIGNING_KEY)

    assert load_settings(ROOT / ".env.example") == Settings(secret_key=SIGNING_KEY)


def test_every_rate_limit_is_documented_with_its_default() -> None:
    for name, field in Settings.model_fields.items():
        if name.startswith("limit_") and name != "limit_scale":
            assert f"| `{name.upper()}` | {field.default} |" in SECURITY


def test_documented_features_are_exactly_those_of_this_release() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    named = text.partition("The names are those of the folders: ")[2].partition(".")[0]

    assert re.findall(r"`(\w+)`", named) == sorted(ALL)


def test_documented_settings_exist() -> None:
    """Names whose first half is that of a setting, so that `SECRET_KEY` is checked and `CI` is not."""
    begins = tuple(name.upper().partition("_")[0] + "_" for name in Settings.model_fields if "_" in name)
    named = {
        name for document in DOCUMENTS for name in re.findall(r"`([A-Z]+(?:_[A-Z]+)+)\b[^`<]*`", document.read_text())
    }

    settings = {name.upper() for name in Settings.model_fields}
    of_a_provider = re.compile(rf"OAUTH_[A-Z]+_({'|'.join(Provider.model_fields).upper()})")
    assert {name for name in named if name.startswith(begins) and not of_a_provider.fullmatch(name)} - settings == set()


# ── commands ──


def test_every_command_is_documented(flask_app: Flask) -> None:
    documented = (ROOT / "docs" / "commands.md").read_text()
    with flask_app.app_context():
        commands = list(own_commands(flask_app))

    assert commands
    assert [name for name in commands if not re.search(rf"`flask {name}[` ]", documented)] == []


def test_documented_commands_exist(flask_app: Flask) -> None:
    with flask_app.app_context():
        commands = set(own_commands(flask_app))
    groups = {name.partition(" ")[0] for name in commands if " " in name}
    # The changelog also names commands that were renamed.
    for document in (document for document in DOCUMENTS if document.name != "CHANGELOG.md"):
        for group, command in re.findall(r"flask (\w+) (\w+(?:-\w+)*)", document.read_text()):
            if group in groups - {"db"}:
                assert f"{group} {command}" in commands, f"{document.name}: flask {group} {command}"


def own_commands(app: Flask) -> Iterator[str]:
    """Return our commands, like `users create`; of Flask-Migrate's only the one in daily use."""
    yield "db upgrade"
    with click.Context(app.cli) as context:
        for name in COMMANDS - {"db"}:
            command = app.cli.get_command(context, name)
            if isinstance(command, click.Group):
                yield from (f"{name} {subcommand}" for subcommand in command.commands)
            else:
                yield name


# ── links ──


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documentation_links_resolve(document: Path) -> None:
    for link in LINK.findall(without_code(document.read_text())):
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), f"{document.name}: {link}"
        if anchor:
            assert anchor in anchors(target.read_text()), f"{document.name}: {link}"


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """Return the anchors of the headings."""
    headings = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(without_code(text))]
    return {heading.replace(" ", "-") for heading in headings}


# ── tables of security.md ──


def test_documented_audit_events_are_exactly_those_in_code() -> None:
    documented = set(re.findall(r"^\| `([a-z_]+\.[a-z_]+)` \|", SECURITY, re.MULTILINE))

    assert documented == recorded_kinds() | set(SENTENCES)


def test_documented_log_messages_are_exactly_those_in_code() -> None:
    inventory = SECURITY.partition("## What is logged")[2].partition("### Audit events")[0]
    documented = set(re.findall(r"^\| `([^`]+)` \|", inventory, re.MULTILINE))

    assert documented == set(logged_messages())


def logged_messages() -> Iterator[str]:
    for call in method_calls(*LEVELS):
        if ast.unparse(call.func).startswith("log."):
            message = call.args[0]
            assert isinstance(message, ast.Constant)
            yield str(message.value)
