"""`flask` commands in this process."""

from __future__ import annotations

from click.testing import Result
from flask import Flask
from flask.cli import FlaskGroup

from tests.support.deleted import needs_for


def flask_command(app: Flask, *arguments: str, typed: str = "") -> Result:
    """Run `flask` with `arguments`; `typed` is its standard input."""
    needs_for(f"flask {' '.join(arguments)}")
    group = FlaskGroup(create_app=lambda: app, load_dotenv=False, set_debug_flag=False)
    return app.test_cli_runner().invoke(group, arguments, input=typed, prog_name="flask")
