"""Templates that make a query fail their test: a view loads what its template shows."""

from typing import Any

from flask import before_render_template, g, has_app_context, template_rendered
from sqlalchemy import event
from sqlalchemy.orm import ORMExecuteState, Session


def refuse_queries_of_templates() -> None:
    """Raise AssertionError when a template makes the ORM load a relationship or a deferred column."""
    before_render_template.connect(_begin)
    template_rendered.connect(_end)
    event.listen(Session, "do_orm_execute", _refuse)


def _begin(_app: Any, **_context: Any) -> None:
    g.renders = True


def _end(_app: Any, **_context: Any) -> None:
    g.renders = False


def _refuse(state: ORMExecuteState) -> None:
    if has_app_context() and g.get("renders") and (state.is_relationship_load or state.is_column_load):
        raise AssertionError(f"a template makes a query: {state.statement}")
