"""`flask maintenance`."""

from __future__ import annotations

import click
from flask.cli import with_appcontext

from app.web.site import change_site


@click.command()
@click.argument("state", type=click.Choice(["on", "off"]))
@with_appcontext
def maintenance(state: str) -> None:
    """Close the site for everybody but administrators, or open it again."""
    change_site(maintenance=state == "on")
    click.echo("Maintenance is on: only administrators are let in." if state == "on" else "The site is open.")
