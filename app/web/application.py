"""The Flask application class, which caches what every request would compute again."""

import re
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from copy import copy
from typing import Any

import flask.templating
import jinja2
from flask import Flask
from jinja2 import nodes
from jinja2.environment import TemplateModule
from jinja2.runtime import Context
from jinja2.visitor import NodeTransformer
from werkzeug.exceptions import HTTPException

from app.web.routing import LazyRule

INDENTATION = re.compile(r"^[ \t]+", re.MULTILINE)
PREFORMATTED = re.compile(r"<(pre|textarea)\b")


class Template(jinja2.Template):
    """A template whose macros are created once when others import it: no template has globals of its own."""

    def _get_default_module(self, ctx: Context | None = None) -> TemplateModule:
        return super()._get_default_module()


class Environment(flask.templating.Environment):
    """Templates share one dict of globals: Jinja would copy a chain of two for each page and each import in it.

    `constants` names the globals that never change, nor their attributes, nor their results for constant arguments.
    They are read when a template is compiled, and become part of its text.
    """

    template_class = Template

    def __init__(self, app: Flask, **options: Any) -> None:
        self.constants: set[str] = set()
        super().__init__(app, **options)

    def preprocess(self, source: str, name: str | None = None, filename: str | None = None) -> str:
        """Drop the indentation of an HTML template, so that pages stay small. `<pre>` and `<textarea>` keep theirs."""
        if name and name.endswith(".html") and not PREFORMATTED.search(source):
            source = INDENTATION.sub("", source)
        return super().preprocess(source, name, filename)

    def make_globals(self, d: MutableMapping[str, Any] | None) -> MutableMapping[str, Any]:
        return self.globals if d is None else super().make_globals(d)

    def _generate(
        self, source: nodes.Template, name: str | None, filename: str | None, defer_init: bool = False
    ) -> str:
        return super()._generate(_Fold(self).visit(source), name, filename, defer_init)


class _Fold(NodeTransformer):
    """Replaces constants by their values, and a loop over a list of constants by its rounds."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def visit_Call(self, node: nodes.Call) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        if self._is_constant(node.node) and not (node.kwargs or node.dyn_args or node.dyn_kwargs):
            with suppress(
                nodes.Impossible, LookupError, OSError, RuntimeError, HTTPException
            ):  # Not for this request, or ever.
                constant: Any = self._environment.globals[node.node.name]  # type: ignore[attr-defined]
                return nodes.Const(constant(*(arg.as_const() for arg in node.args)), lineno=node.lineno)
        return node

    def visit_Name(self, node: nodes.Name) -> nodes.Node:  # noqa: N802
        if node.ctx == "load" and self._is_constant(node):
            value = self._environment.globals[node.name]
            if isinstance(value, str):
                return nodes.Const(value, lineno=node.lineno)
        return node

    def visit_Getattr(self, node: nodes.Getattr) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        if self._is_constant(node.node):
            value = getattr(self._environment.globals[node.node.name], node.attr, None)  # type: ignore[attr-defined]
            if isinstance(value, str | int | None):
                return nodes.Const(value, lineno=node.lineno)
        return node

    def visit_For(self, node: nodes.For) -> Any:  # noqa: N802
        rounds = self._rounds(node)
        if rounds is None:
            return self.generic_visit(node)
        return [self.visit(child) for values in rounds for child in _put(node.body, values)]

    def _is_constant(self, node: nodes.Node) -> bool:
        return isinstance(node, nodes.Name) and node.name in self._environment.constants

    def _rounds(self, node: Any) -> list[dict[str, Any]] | None:
        """Return the variables of each round of a loop over constant tuples, or None if it does anything special."""
        is_plain = not (node.else_ or node.test or node.recursive) and isinstance(node.target, nodes.Tuple)
        if not is_plain or any(name.name == "loop" for child in node.body for name in child.find_all(nodes.Name)):
            return None
        try:
            values: Any = (
                self._environment.globals[node.iter.name] if self._is_constant(node.iter) else node.iter.as_const()
            )
        except nodes.Impossible:
            return None
        names = [item.name for item in node.target.items if isinstance(item, nodes.Name)]
        return [dict(zip(names, value, strict=True)) for value in values]


def _put(node: Any, values: dict[str, Any]) -> Any:
    """Return a copy with values in place of variables."""
    if isinstance(node, list):
        return [_put(child, values) for child in node]
    if not isinstance(node, nodes.Node):
        return node
    if isinstance(node, nodes.Name) and node.name in values:
        return nodes.Const(values[node.name], lineno=node.lineno)
    copied = copy(node)
    for name, value in node.iter_fields():
        setattr(copied, name, _put(value, values))
    return copied


class Application(Flask):
    """The Flask application. Extensions use `jinja_env` when they are initialized, so its class is set here."""

    jinja_environment: type[Any] = Environment
    url_rule_class = LazyRule

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return `func`: no view or hook is a coroutine function, and Flask inspects each of them at each call."""
        return func
