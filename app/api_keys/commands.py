"""`flask keys`: users' API keys."""

from datetime import timedelta

import click
from flask.cli import AppGroup

from app.api_keys.schemas import ApiKeyOut
from app.api_keys.service import ApiKeys
from app.core.extensions import now
from app.core.principal import OPERATOR
from app.core.resources import plain
from app.unit_of_work import reading, unit_of_work
from app.users.commands import NAME, WHO, user_argument
from app.users.permissions import ACCOUNT_SCOPES, PERMISSIONS
from app.web.command_output import json_option, print_json, print_list

SCOPES = sorted({*PERMISSIONS, *ACCOUNT_SCOPES})

keys = AppGroup("keys", help="Manage API keys.")


@keys.command(name="list")
@click.option("--user", "who", type=WHO, help="Only API keys of this user.")
@click.option("--limit", default=50, type=click.IntRange(1, 10_000))
@json_option
def list_keys(who: str | int | None, limit: int, as_json: bool) -> None:
    """List active API keys, newest first."""
    services = reading()
    user_id = services.users.find(who).id if who else None
    keys_with_owners = services[ApiKeys].list_with_owners(user_id, limit=limit)
    print_list(
        keys_with_owners,
        lambda row: plain(ApiKeyOut, row[0]) | {"user": row[1]},
        lambda row: f"{row[0].id:>8}  {row[1]:<40}  {row[0].prefix}…  {row[0].name}  {', '.join(row[0].scopes)}",
        as_json=as_json,
        empty="No API keys.",
    )


@keys.command()
@user_argument
@click.option("--name", type=NAME, required=True, help="Where the key is used.")
@click.option("--scope", "scopes", multiple=True, type=click.Choice(SCOPES), help="Can be repeated.")
@click.option("--days", type=click.IntRange(1, 36_500), help="When it expires. Default: never.")
@json_option
def create(who: str | int, name: str, scopes: tuple[str, ...], days: int | None, as_json: bool) -> None:
    """Create an API key for a user and print it once."""
    expires_at = now() + timedelta(days=days) if days else None
    with unit_of_work() as work:
        user = work.users.find(who)
        key, secret = work[ApiKeys].create_key_for(user, name=name, scopes=scopes, expires_at=expires_at)
        shown = plain(ApiKeyOut, key) | {"user": user.email, "key": secret}
    if as_json:
        print_json(shown)
    else:
        click.echo(secret)


@keys.command()
@click.argument("key_id", type=click.IntRange(1, 2**63 - 1))
def revoke(key_id: int) -> None:
    """Revoke an API key."""
    with unit_of_work() as work:
        name = work[ApiKeys].revoke_key(key_id, by=OPERATOR).name
    click.echo(f"Revoked API key {key_id} ({name}).")
