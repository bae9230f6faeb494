"""`flask keys`: the keys that sign the API's access tokens."""

from __future__ import annotations

import json

import click
from flask.cli import AppGroup

from app.cli.users import AS_OPERATOR
from app.unit_of_work import unit_of_work

keys = AppGroup("keys", help="Manage the keys that sign access tokens.")


@keys.command()
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
def rotate(as_json: bool) -> None:
    """Sign access tokens with a new key; the previous one verifies until its last token has expired."""
    with unit_of_work(origin=AS_OPERATOR) as work:
        kid = work.signing_keys.rotate().kid
    click.echo(json.dumps({"kid": kid}) if as_json else f"The key {kid} signs from now on, within a minute everywhere.")
