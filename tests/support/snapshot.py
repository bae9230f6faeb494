"""Public names as one text file: `make snapshot` writes it, and a test compares it with the code.

Existing databases, queues and cookies rely on them, and so do API clients, scripts and dashboards. A refactoring
changes no line of `tests/snapshot.txt`."""

from __future__ import annotations

import ast
import inspect
import json
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
from flask import Flask
from pydantic import SecretStr

from app import create_app
from app.api.openapi import document
from app.auth.models import Purpose
from app.core import errors
from app.core.models import Base, complete_indexes
from app.core.settings import ROOT, flask_config
from app.features import load_features
from app.jobs.tasks import QUEUES, Task
from app.mail.kinds import EmailKind
from app.settings import Settings
from app.users.permissions import PERMISSIONS
from tests.support.databases import SIGNING_KEY
from tests.support.sources import argument, calls, constants, nodes, recorded_kinds, returned, shown

SENTENCES = load_features().audit_texts
SCHEDULE = load_features().schedule
COMMANDS = {name for name in load_features().commands if " " not in name}

FILE = ROOT / "tests" / "snapshot.txt"
LONGEST = 200  # Longer parts of the OpenAPI document, as JSON, are divided.
HELP = re.compile(r"\n  --help .*")


def snapshot(app: Flask) -> str:
    """Return all sections, each with its lines sorted, except the text of commands."""
    with app.app_context():
        return "\n".join("\n".join([f"## {title}", "", *lines(app), ""]) for title, lines in SECTIONS)


# ── from the application ──


def _routes(app: Flask) -> Iterator[str]:
    for rule in app.url_map.iter_rules():
        yield f"{rule.rule} {','.join(sorted(rule.methods or ()))} {rule.endpoint}"


def _openapi(app: Flask) -> Iterator[str]:
    yield from _leaves(document(), "")


def _leaves(part: Any, where: str) -> Iterator[str]:
    text = json.dumps(part, sort_keys=True)
    parts = dict(enumerate(part)) if isinstance(part, list) and any(isinstance(item, dict) for item in part) else part
    if len(text) <= LONGEST or not isinstance(parts, dict):
        yield f"{where} {text}"
        return
    for name, inner in parts.items():
        yield from _leaves(inner, f"{where}/{str(name).replace('/', '~1')}")


def _commands(app: Flask) -> Iterator[str]:
    """The --help of each command, without Flask's own."""
    with click.Context(app.cli, info_name="flask", terminal_width=100, max_content_width=100) as context:
        for name in sorted(COMMANDS):
            command = app.cli.get_command(context, name)
            if command is not None and name != "db":
                yield from _help(command, name, context)


def _help(command: click.Command, name: str, parent: click.Context) -> Iterator[str]:
    with click.Context(command, info_name=name, parent=parent) as context:
        yield from [*HELP.sub("", command.get_help(context)).splitlines(), ""]
        for inner in sorted(getattr(command, "commands", {})):
            yield from _help(getattr(command, "commands")[inner], inner, context)  # noqa: B009 - a plain command has none.


def _settings(app: Flask) -> Iterator[str]:
    annotations = {name: kind for parent in Settings.__mro__ for name, kind in inspect.get_annotations(parent).items()}
    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=True)
        shown = default.get_secret_value() if isinstance(default, SecretStr) else default
        yield f"{name.upper()}: {getattr(annotations[name], '__name__', annotations[name])} = {str(shown).replace(str(ROOT), '.')!r}"


def _tasks(app: Flask) -> Iterator[str]:
    for kind, task in Task.kinds.items():
        if task.__module__.startswith("app."):
            arguments = ", ".join(
                f"{field.name}: {getattr(field.type, '__name__', field.type)}" for field in fields(task)
            )
            yield f"{kind}({arguments}) {task.queue} {task.max_attempts} attempts"
    yield from (f"queue {name}" for name in QUEUES)
    yield from (f"schedule {entry.name} every {entry.every} {entry.task.kind}" for entry in SCHEDULE)


def refusals(kind: type[errors.AccountError] = errors.AccountError) -> Iterator[type[errors.AccountError]]:
    for subclass in kind.__subclasses__():
        yield subclass
        yield from refusals(subclass)


def _error_codes(app: Flask) -> Iterator[str]:
    for error in (errors.AccountError, *refusals()):
        if "code" in vars(error):
            yield f"{error.code} {int(error.status)}"
    yield from (f"{code} (an answer)" for code in argument("answer", keyword="code") if "{" not in code)


def _tables(app: Flask) -> Iterator[str]:
    complete_indexes("sqlite")
    for table in Base.metadata.tables.values():
        for column in table.columns:
            yield f"{table.name}.{column.name} {column.type!r}{'' if column.nullable else ' NOT NULL'}"
        for index in table.indexes:
            columns = ", ".join(str(expression) for expression in index.expressions)
            yield f"{table.name} {'unique ' if index.unique else ''}index {index.name} ({columns})"
        for constraint in table.constraints:
            yield f"{table.name} {type(constraint).__name__} {constraint.name}"


# ── from the code ──


def _audit_kinds(app: Flask) -> set[str]:
    return set(SENTENCES) | recorded_kinds()


def _cookies(app: Flask) -> Iterator[str]:
    yield from (f"cookie {name}" for name in argument("cookie_name", 0))
    forward = {text for text in constants() if re.fullmatch(r"(__(Host|Secure)-)?forward", text)}
    yield from (f"cookie {name}" for name in forward)
    flags = flask_config(app.extensions["settings"])
    yield from (f"{name} = {value!r}" for name, value in flags.items() if name.startswith("SESSION_"))
    yield from (f"key in the session: {key}" for key in set(_session_keys()))


def _session_keys() -> Iterator[str]:
    in_modules = {
        module
        for module, node in nodes(ast.ImportFrom)
        if node.module == "flask" and "session" in {name.name for name in node.names}
    }
    for module, node in nodes(ast.Subscript):
        if module in in_modules and ast.unparse(node.value) == "session":
            yield shown(module, node.slice)


def _purposes(app: Flask) -> Iterator[str]:
    yield from (f"link {purpose}" for purpose in Purpose)
    yield from (f"keyed hash: {text}" for text in argument("keyed_hash", 1))
    for serializer in ("URLSafeSerializer", "URLSafeTimedSerializer"):
        yield from (f"salt: {text}" for text in argument(serializer, keyword="salt"))
    yield from (f"sealed: {text}" for text in returned("_purpose"))


def _stored_keys(app: Flask) -> Iterator[str]:
    yield from (f"key {text}" for text in constants() if text.startswith("gatehouse:"))
    for method in ("read_aside", "collect", "take"):
        yield from (f"cached {text}" for text in argument(f"cache.{method}", 0))
    locks = argument("advisory_lock", 1) | argument("has_room", keyword="lock")
    yield from (f"lock {text}" for text in locks - {"{}"})


def _metrics(app: Flask) -> Iterator[str]:
    for kind in ("Counter", "Histogram", "Gauge", "GaugeValue"):
        for call, module in calls(kind):
            if call.args and (name := shown(module, call.args[0])).startswith("gatehouse"):
                labels = [shown(module, arg) for arg in call.args[2:] if not isinstance(arg, ast.Dict)]
                yield f"{name} {kind} {' '.join(labels)}".rstrip()


def _emails(app: Flask) -> set[str]:
    return set(EmailKind.templates)


Lines = Callable[[Flask], Iterator[str] | set[str] | list[str]]


def _in_order(lines: Lines) -> Lines:
    return lambda app: sorted(set(lines(app)))


SECTIONS: list[tuple[str, Lines]] = [
    ("Routes", _in_order(_routes)),
    ("OpenAPI document", _in_order(_openapi)),
    ("Commands", _commands),
    ("Settings", _in_order(_settings)),
    ("Permissions", _in_order(lambda app: [f"{name}: {sentence}" for name, sentence in PERMISSIONS.items()])),
    ("Audit events", _in_order(_audit_kinds)),
    ("Jobs", _in_order(_tasks)),
    ("Error codes", _in_order(_error_codes)),
    ("Cookies and what the session holds", _in_order(_cookies)),
    ("Salts and purposes", _in_order(_purposes)),
    ("Keys and locks", _in_order(_stored_keys)),
    ("Metrics", _in_order(_metrics)),
    ("Tables", _in_order(_tables)),
    ("Emails", _in_order(_emails)),
]


def write() -> None:
    with tempfile.TemporaryDirectory() as folder:
        app = create_app(Settings(environment="development", secret_key=SIGNING_KEY, instance_path=Path(folder)))
        FILE.write_text(snapshot(app))


if __name__ == "__main__":
    write()
