"""`flask keys`: users' API keys."""

from __future__ import annotations

import json
from typing import Any

import click
from flask.cli import AppGroup

from app.cli.users import WHO
from app.models import ApiKey
from app.principal import OPERATOR
from app.unit_of_work import reading, unit_of_work

keys = AppGroup("keys", help="List and end API keys.")


@keys.command(name="list")
@click.option("--user", "who", type=WHO, help="Only the keys of this user.")
@click.option("--limit", default=50, type=click.IntRange(1, 10_000))
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
def list_keys(who: str | int | None, limit: int, as_json: bool) -> None:
    """List active API keys, newest first."""
    look = reading()
    user_id = look.users.find(who).id if who else None
    found = look.api_keys.list_with_owners(user_id, limit=limit)
    if as_json:
        click.echo(json.dumps([as_dict(key, owner) for key, owner in found], indent=2))
        return
    for key, owner in found:
        click.echo(f"{key.id:>8}  {owner:<40}  {key.prefix}…  {key.name}  {', '.join(key.scopes)}".rstrip())
    if not found:
        click.echo("No API keys.")


@keys.command()
@click.argument("key_id", type=click.IntRange(1, 2**63 - 1))
def end(key_id: int) -> None:
    """End an API key: it is invalid from the next request on."""
    with unit_of_work() as work:
        name = work.api_keys.end(key_id, by=OPERATOR).name
    click.echo(f"Ended the API key {key_id} ({name}).")


def as_dict(key: ApiKey, owner: str) -> dict[str, Any]:
    """A key as plain values; times are RFC 3339."""
    times = ("created_at", "expires_at", "last_used_at")
    return {
        **{name: getattr(key, name) for name in ("id", "name", "prefix", "scopes")},
        "user": owner,
        **{name: at.isoformat() if (at := getattr(key, name)) else None for name in times},
    }
