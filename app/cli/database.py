"""`flask db`: Flask-Migrate, loaded only when it is used."""

from __future__ import annotations

from typing import Any

import click
from flask import current_app
from flask_migrate import Migrate
from flask_migrate.cli import db as migrations

from app.extensions import db
from app.settings import ROOT

__all__ = ["migrations"]

_invoke = migrations.invoke


def _with_migrate(ctx: click.Context) -> Any:
    init_migrate()
    return _invoke(ctx)


def init_migrate() -> None:
    if "migrate" not in current_app.extensions:
        command = current_app.cli
        Migrate(current_app._get_current_object(), db, directory=str(ROOT / "migrations"))  # type: ignore[attr-defined]
        # Flask-Migrate adds its group to the application; ours is found first, and is the same.
        command.commands.pop("db", None)


migrations.invoke = _with_migrate
