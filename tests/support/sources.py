"""The application's code as syntax trees, parsed once, for tests that compare documents and lists with it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from typing import Any

from app.core.settings import ROOT


@cache
def nodes(kind: type[ast.AST]) -> list[tuple[str, Any]]:
    """Return every node of this kind in the application, each with its module."""
    return [(module, node) for module, node in _all_nodes() if isinstance(node, kind)]


@cache
def _all_nodes() -> list[tuple[str, ast.AST]]:
    nodes_found: list[tuple[str, ast.AST]] = []
    for path in sorted((ROOT / "app").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        nodes_found += [(module, node) for node in ast.walk(ast.parse(path.read_text()))]
    return nodes_found


@cache
def _named_calls() -> list[tuple[str, ast.Call, str]]:
    return [(f".{ast.unparse(call.func)}", call, module) for module, call in nodes(ast.Call)]


def calls(function: str) -> Iterator[tuple[ast.Call, str]]:
    """Yield every call of `function` or of an attribute with that name (`read`, `cache.read`), with its module."""
    yield from ((call, module) for name, call, module in _named_calls() if name.endswith(f".{function}"))


def argument(function: str, position: int | None = None, *, keyword: str = "") -> set[str]:
    """Return what calls of `function` pass at that position or keyword."""
    values = set()
    for call, module in calls(function):
        nodes_given = [node.value for node in call.keywords if node.arg == keyword]
        if position is not None:
            nodes_given += call.args[position : position + 1]
        values |= {shown(module, node) for node in nodes_given}
    return values


def recorded_kinds() -> set[str]:
    """Return every kind of audit event, like `user.renamed`, that `record` or `record_all` is called with."""
    return {
        node.value
        for call in [*method_calls("record"), *method_calls("record_all")]
        for argument in call.args[:1]
        for node in ast.walk(argument)
        if isinstance(node, ast.Constant) and re.fullmatch(r"[a-z_]+\.[a-z_]+", str(node.value))
    }


def method_calls(*names: str) -> list[ast.Call]:
    """Return every call of a method with one of these names."""
    return [call for _, call in nodes(ast.Call) if isinstance(call.func, ast.Attribute) and call.func.attr in names]


def returned(function: str, only_in: str = "") -> Iterator[str]:
    """Yield what functions of that name return."""
    for module, node in nodes(ast.FunctionDef):
        if node.name == function and only_in in ("", module):
            returns = [part.value for part in ast.walk(node) if isinstance(part, ast.Return) and part.value]
            yield from (shown(module, value) for value in returns)


@cache
def constants() -> set[str]:
    """Return every string and byte string, as text."""
    values = {node.value for _, node in nodes(ast.Constant) if isinstance(node.value, str | bytes)}
    return {value.decode(errors="replace") if isinstance(value, bytes) else value for value in values}


def shown(module: str, node: ast.expr) -> str:
    """Return an expression's text, with `{}` for parts known only at run time."""
    match node:
        case ast.Constant():
            return str(node.value)
        case ast.List() | ast.Tuple():
            return ",".join(shown(module, elt) for elt in node.elts)
        case ast.JoinedStr():
            return "".join(shown(module, part) for part in node.values)
        case ast.FormattedValue():
            return shown(module, node.value)
        case ast.BinOp():
            return shown(module, node.left) + shown(module, node.right)
        case ast.Name():
            value = getattr(import_module(module), node.id, None)
            return value if isinstance(value, str) else _assigned(module, node.id)
        case ast.Call(func=ast.Name()):
            return next(returned(node.func.id, module), "{}")
        case _:
            return "{}"


def _assigned(module: str, name: str) -> str:
    """Return the text of a variable that is assigned exactly once in the module."""
    values = [
        node.value
        for where, node in nodes(ast.Assign)
        if where == module and [ast.unparse(target) for target in node.targets] == [name]
    ]
    return shown(module, values[0]) if len(values) == 1 and not isinstance(values[0], ast.Name) else "{}"
