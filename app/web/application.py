"""The Flask application class: what a request would otherwise do again and again is done once."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any

import flask.templating
import jinja2
from flask import Flask
from jinja2.environment import TemplateModule
from jinja2.runtime import Context

from app.web.routing import LazyRule


class Template(jinja2.Template):
    """A template whose macros are created once when others import it: no template has globals of its own."""

    def _get_default_module(self, ctx: Context | None = None) -> TemplateModule:
        return super()._get_default_module()


class Environment(flask.templating.Environment):
    """Templates share one dict of globals: Jinja would copy a chain of two for each page and each import in it."""

    template_class = Template

    def make_globals(self, d: MutableMapping[str, Any] | None) -> MutableMapping[str, Any]:
        return self.globals if d is None else super().make_globals(d)


class Application(Flask):
    """Extensions may use `jinja_env` as soon as they are initialized, so its class is named here."""

    jinja_environment = Environment
    url_rule_class = LazyRule

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return `func`: no view or hook is a coroutine function, and Flask inspects each of them at each call."""
        return func
