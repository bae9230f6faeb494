"""The `flask` commands; each group is imported on first use, so no web process loads it."""

import sys
from collections.abc import Mapping
from typing import Any, cast

import click
from flask import g
from flask.cli import AppGroup, ScriptInfo
from sqlalchemy.exc import ProgrammingError
from werkzeug.utils import import_string

from app.core import errors
from app.core.database import DATABASE_AWAY
from app.core.migration_state import first_line
from app.core.principal import NO_VISIT, OPERATOR, Origin
from app.core.settings import SettingsError

EPILOG = "Gatehouse: accounts, sign-in and background jobs. Details: docs/commands.md."


class Commands(AppGroup):
    """The commands of all features. A failure is one sentence on standard error and exit code 1; wrong usage is exit
    code 2.
    """

    def __init__(self, places: Mapping[str, str]) -> None:
        super().__init__()
        self._places = places

    def list_commands(self, ctx: click.Context) -> list[str]:
        if ctx.command is not self:
            ctx.command.epilog = EPILOG
        return sorted({*super().list_commands(ctx), *(name for name in self._places if " " not in name)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._places:
            command = super().get_command(ctx, cmd_name)
        else:
            command = cast(click.Command, import_string(self._places[cmd_name]))
            for name, place in self._places.items():
                if name.startswith(f"{cmd_name} "):
                    cast(click.Group, command).add_command(import_string(place))
        return command and _as_operator(command)


def _as_operator(command: click.Command) -> click.Command:
    """Return the command, recorded as done by the operator, with refusals as one sentence instead of a traceback."""
    inner = command.invoke

    def invoke(ctx: click.Context) -> Any:
        try:
            with ctx.ensure_object(ScriptInfo).load_app().app_context():
                g.origin = Origin(NO_VISIT, OPERATOR, entry_point="cli")
                return inner(ctx)
        except (errors.AccountError, SettingsError) as refusal:
            click.echo(f"Error: {refusal}", err=True)
            sys.exit(1)
        except (*DATABASE_AWAY, ProgrammingError) as problem:
            advice = "Check DATABASE_URL, and run `flask db upgrade`."
            click.echo(f"Error: Can't use the database: {first_line(problem)}. {advice}", err=True)
            sys.exit(1)

    if not getattr(command, "is_as_operator", False):
        command.invoke = invoke  # type: ignore[method-assign]
        command.is_as_operator = True  # type: ignore[attr-defined]
    return command
