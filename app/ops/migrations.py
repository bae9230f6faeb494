"""`flask db`: Flask-Migrate, loaded only when it is used."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import click
from flask import current_app
from flask_migrate import Migrate
from flask_migrate.cli import db as migrations

from app.core.extensions import db
from app.core.migration_state import current_revision
from app.core.settings import ROOT

__all__ = ["migrations"]

_invoke = migrations.invoke
CHANGE_THE_SCHEMA = ("upgrade", "downgrade", "stamp")


def _with_migrate(ctx: click.Context) -> Any:
    init_migrate()
    return _invoke(ctx)


def report_change(change: Callable[..., Any]) -> Callable[..., Any]:
    """Print what `change` did to the revision of the database, on standard error."""

    @wraps(change)
    def changed(*args: Any, **options: Any) -> Any:
        if options.get("sql"):
            return change(*args, **options)
        before = current_revision()
        result = change(*args, **options)
        after = current_revision() or "none"
        was = f" (before: {before or 'none'})" if after != before else ""
        click.echo(f"Database revision: {after}{was}.", err=True)
        return result

    return changed


def init_migrate() -> None:
    if "migrate" not in current_app.extensions:
        command = current_app.cli
        Migrate(current_app._get_current_object(), db, directory=str(ROOT / "migrations"), render_as_batch=False)  # type: ignore[attr-defined]
        # Flask-Migrate adds its group to the application; ours is found first, and is the same.
        command.commands.pop("db", None)


migrations.invoke = _with_migrate
for name in CHANGE_THE_SCHEMA:
    migrations.commands[name].callback = report_change(migrations.commands[name].callback)
