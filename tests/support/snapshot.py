"""Everything that others rely on, as one text: `make snapshot` writes it, a test compares it with the code.

Others are databases, queues and cookies that exist already, programs that call the API, scripts that run commands, and
dashboards. A changed line of `tests/snapshot.txt` is a decision; a refactoring changes none.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from flask import Flask
from pydantic import SecretStr

from app import create_app, errors
from app.api.openapi import document
from app.cli import COMMANDS
from app.models import Base, Purpose, complete_indexes
from app.services.permissions import PERMISSIONS
from app.services.schedule import SCHEDULE
from app.settings import ROOT, Settings, flask_config
from app.tasks import QUEUES, Task
from app.web.errors import STATUSES, STATUSES_OF_API
from app.web.sentences import SENTENCES
from tests.support.databases import SIGNING_KEY

FILE = ROOT / "tests" / "snapshot.txt"
LONGEST = 200  # A part of the OpenAPI document that is longer as JSON is divided.
HELP = re.compile(r"\n  --help .*")


def snapshot(app: Flask) -> str:
    """All sections, each with its lines sorted (but the text of commands)."""
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
    parts = dict(enumerate(part)) if isinstance(part, list) and any(isinstance(each, dict) for each in part) else part
    if len(text) <= LONGEST or not isinstance(parts, dict):
        yield f"{where} {text}"
        return
    for name, inner in parts.items():
        yield from _leaves(inner, f"{where}/{str(name).replace('/', '~1')}")


def _commands(app: Flask) -> Iterator[str]:
    """The --help of each, Flask's own left out."""
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
    annotations = inspect.get_annotations(Settings)
    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=True)
        shown = default.get_secret_value() if isinstance(default, SecretStr) else default
        yield f"{name.upper()}: {annotations[name]} = {str(shown).replace(str(ROOT), '.')!r}"


def _tasks(app: Flask) -> Iterator[str]:
    for kind, task in Task.kinds.items():
        if task.__module__.startswith("app."):
            arguments = ", ".join(f"{field.name}: {field.type}" for field in fields(task))
            yield f"{kind}({arguments}) {task.queue} {task.max_attempts} attempts"
    yield from (f"queue {name}" for name in QUEUES)
    yield from (f"schedule {entry.name} every {entry.every} {entry.task.kind()}" for entry in SCHEDULE)


def _error_codes(app: Flask) -> Iterator[str]:
    for name, error in inspect.getmembers(errors, inspect.isclass):
        if issubclass(error, errors.AccountError):
            statuses = [str(int(table[error])) for table in (STATUSES, STATUSES_OF_API) if error in table]
            yield f"{error.code} {name} {' '.join(statuses)}".rstrip()
    yield from (f"{code} (an answer)" for code in _argument("answer", keyword="code") if "{" not in code)


def _tables(app: Flask) -> Iterator[str]:
    complete_indexes("sqlite")
    for table in Base.metadata.tables.values():
        for column in table.columns:
            yield f"{table.name}.{column.name} {column.type!r}{'' if column.nullable else ' NOT NULL'}"
        for index in table.indexes:
            columns = ", ".join(str(each) for each in index.expressions)
            yield f"{table.name} {'unique ' if index.unique else ''}index {index.name} ({columns})"
        for constraint in table.constraints:
            yield f"{table.name} {type(constraint).__name__} {constraint.name}"


# ── from the code ──


def _audit_kinds(app: Flask) -> set[str]:
    kind = re.compile(r"[a-z_]+\.[a-z_]+")
    recorded = {each for name in ("record", "record_all") for each in _strings(name, 0)}
    return set(SENTENCES) | {each for each in recorded if kind.fullmatch(each)}


def _cookies(app: Flask) -> Iterator[str]:
    yield from (f"cookie {name}" for name in _argument("cookie_name", 0))
    forward = {text for text in _constants() if re.fullmatch(r"(__(Host|Secure)-)?forward", text)}
    yield from (f"cookie {name}" for name in forward)
    flags = flask_config(app.extensions["settings"])
    yield from (f"{name} = {value!r}" for name, value in flags.items() if name.startswith("SESSION_"))
    yield from (f"key in the session: {key}" for key in set(_session_keys()))


def _session_keys() -> Iterator[str]:
    in_modules = {
        module
        for module, node in _nodes(ast.ImportFrom)
        if node.module == "flask" and "session" in {each.name for each in node.names}
    }
    for module, node in _nodes(ast.Subscript):
        if module in in_modules and ast.unparse(node.value) == "session":
            yield _shown(module, node.slice)


def _purposes(app: Flask) -> Iterator[str]:
    yield from (f"link {purpose}" for purpose in Purpose)
    yield from (f"keyed hash: {text}" for text in _argument("keyed_hash", 1))
    for serializer in ("URLSafeSerializer", "URLSafeTimedSerializer"):
        yield from (f"salt: {text}" for text in _argument(serializer, keyword="salt"))
    yield from (f"sealed: {text}" for text in _returned("_purpose"))


def _stored_keys(app: Flask) -> Iterator[str]:
    yield from (f"key {text}" for text in _constants() if text.startswith("gatehouse:"))
    for method in ("read", "read_aside", "write", "collect", "take"):
        yield from (f"cached {text}" for text in _argument(f"cache.{method}", 0))
    yield from (f"lock {text}" for text in _argument("serialise", 1))


def _metrics(app: Flask) -> Iterator[str]:
    for kind in ("Counter", "Histogram", "Gauge", "Reading"):
        for call, module in _calls(kind):
            if call.args and (name := _shown(module, call.args[0])).startswith("gatehouse"):
                labels = [_shown(module, each) for each in call.args[2:] if not isinstance(each, ast.Dict)]
                yield f"{name} {kind} {' '.join(labels)}".rstrip()


def _emails(app: Flask) -> set[str]:
    return set(_argument("compose", 0))


@cache
def _nodes(kind: type[ast.AST]) -> list[tuple[str, Any]]:
    """Every part of the code of that kind, with the module that it is in."""
    return [(module, node) for module, node in _all_nodes() if isinstance(node, kind)]


@cache
def _all_nodes() -> list[tuple[str, ast.AST]]:
    found: list[tuple[str, ast.AST]] = []
    for path in sorted((ROOT / "app").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        found += [(module, node) for node in ast.walk(ast.parse(path.read_text()))]
    return found


@cache
def _named_calls() -> list[tuple[str, ast.Call, str]]:
    return [(f".{ast.unparse(call.func)}", call, module) for module, call in _nodes(ast.Call)]


def _calls(function: str) -> Iterator[tuple[ast.Call, str]]:
    """Every call of `function`, whatever it is an attribute of; with a dot in it, of that object's."""
    yield from ((call, module) for name, call, module in _named_calls() if name.endswith(f".{function}"))


def _argument(function: str, position: int | None = None, *, keyword: str = "") -> set[str]:
    """What calls of `function` pass there."""
    found = set()
    for call, module in _calls(function):
        given = [each.value for each in call.keywords if each.arg == keyword]
        if position is not None:
            given += call.args[position : position + 1]
        found |= {_shown(module, each) for each in given}
    return found


def _strings(function: str, position: int) -> Iterator[str]:
    """The strings within an argument, such as both of `"a" if x else "b"`."""
    for call, _ in _calls(function):
        for argument in call.args[position : position + 1]:
            for node in ast.walk(argument):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


def _returned(function: str, only_in: str = "") -> Iterator[str]:
    """What functions of that name return."""
    for module, node in _nodes(ast.FunctionDef):
        if node.name == function and only_in in ("", module):
            returns = [part.value for part in ast.walk(node) if isinstance(part, ast.Return) and part.value]
            yield from (_shown(module, value) for value in returns)


@cache
def _constants() -> set[str]:
    """Every string and byte string."""
    values = {node.value for _, node in _nodes(ast.Constant) if isinstance(node.value, str | bytes)}
    return {each.decode(errors="replace") if isinstance(each, bytes) else each for each in values}


def _shown(module: str, node: ast.expr) -> str:
    """A constant's value, also by its name; what is only known when it runs is `{}`."""
    match node:
        case ast.Constant():
            return str(node.value)
        case ast.List() | ast.Tuple():
            return ",".join(_shown(module, each) for each in node.elts)
        case ast.JoinedStr():
            return "".join(_shown(module, part) for part in node.values)
        case ast.FormattedValue():
            return _shown(module, node.value)
        case ast.BinOp():
            return _shown(module, node.left) + _shown(module, node.right)
        case ast.Name():
            known = getattr(import_module(module), node.id, None)
            return known if isinstance(known, str) else _assigned(module, node.id)
        case ast.Call(func=ast.Name()):
            return next(_returned(node.func.id, module), "{}")
        case _:
            return "{}"


def _assigned(module: str, name: str) -> str:
    """What a local variable holds, if it is assigned a text once."""
    values = [
        node.value
        for where, node in _nodes(ast.Assign)
        if where == module and [ast.unparse(target) for target in node.targets] == [name]
    ]
    return _shown(module, values[0]) if len(values) == 1 and not isinstance(values[0], ast.Name) else "{}"


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
