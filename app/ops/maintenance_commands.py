"""`flask maintenance`."""

import click
from flask.cli import with_appcontext

from app.site.current import change_site
from app.site.service import SiteSettings


@click.command()
@click.argument("state", type=click.Choice(["on", "off"]))
@with_appcontext
def maintenance(state: str) -> None:
    """Turn maintenance mode on or off."""
    change_site(lambda work: work[SiteSettings].change(maintenance=state == "on"))
    click.echo("Maintenance mode is on." if state == "on" else "Maintenance mode is off.")
