"""`flask keys`: users' API keys."""

import json
from datetime import timedelta
from typing import Any

import click
from flask.cli import AppGroup

from app.cli.users import NAME, WHO, json_option, user_argument
from app.extensions import now
from app.models import ApiKey
from app.principal import OPERATOR
from app.services.permissions import ACCOUNT_SCOPES, PERMISSIONS
from app.unit_of_work import reading, unit_of_work

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
    found = services.api_keys.list_with_owners(user_id, limit=limit)
    if as_json:
        click.echo(json.dumps([as_dict(key, owner) for key, owner in found], indent=2))
        return
    for key, owner in found:
        click.echo(f"{key.id:>8}  {owner:<40}  {key.prefix}…  {key.name}  {', '.join(key.scopes)}".rstrip())
    if not found:
        click.echo("No API keys.")


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
        key, secret = work.api_keys.create_key_for(user, name=name, scopes=scopes, expires_at=expires_at)
        shown = as_dict(key, user.email) | {"key": secret}
    click.echo(json.dumps(shown, indent=2) if as_json else secret)


@keys.command()
@click.argument("key_id", type=click.IntRange(1, 2**63 - 1))
def revoke(key_id: int) -> None:
    """Revoke an API key."""
    with unit_of_work() as work:
        name = work.api_keys.revoke_key(key_id, by=OPERATOR).name
    click.echo(f"Revoked API key {key_id} ({name}).")


def as_dict(key: ApiKey, owner: str) -> dict[str, Any]:
    """Return a key as plain values; times are RFC 3339."""
    times = ("created_at", "expires_at", "last_used_at")
    return {
        **{name: getattr(key, name) for name in ("id", "name", "prefix", "scopes")},
        "user": owner,
        **{name: at.isoformat() if (at := getattr(key, name)) else None for name in times},
    }
