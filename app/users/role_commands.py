"""`flask roles`: roles and their permissions, also as a YAML file."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TextIO

import click
import yaml
from flask.cli import AppGroup
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from app.core import errors
from app.core.principal import OPERATOR
from app.core.resources import plain
from app.unit_of_work import reading, unit_of_work
from app.users.models import Role
from app.users.permissions import EVERYTHING, PERMISSIONS, granted
from app.users.schemas import RoleOut
from app.users.services.roles import MAX_COUNTED, RoleChange, RoleSpec, spec_of
from app.web.command_output import json_option, print_json, print_list

roles = AppGroup("roles", help="Manage roles and their permissions.")
role_argument = click.argument("role")
permissions_argument = click.argument("permissions", nargs=-1, required=True, type=click.Choice(sorted(PERMISSIONS)))


class RoleInFile(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    description: str = ""
    permissions: list[str] = []
    requires_second_factor: bool = False
    administrators_only: bool = False


FILE = TypeAdapter(dict[str, RoleInFile])


@roles.command(name="list")
@json_option
def list_roles(as_json: bool) -> None:
    """List roles and how many users have each."""
    print_list(
        reading().roles.list_with_holders(),
        lambda row: plain(RoleOut, row[0]) | {"holders": row[1]},
        lambda row: _line(*row),
        as_json=as_json,
    )


def _line(role: Role, count: int) -> str:
    held = "everything" if EVERYTHING in role.permissions else f"{len(role.permissions)} permissions"
    holders = f"over {MAX_COUNTED}" if count > MAX_COUNTED else count
    return f"{role.name:<24}  {held:<16}  {holders:>9}  {role.description}"


@roles.command()
@role_argument
@json_option
def show(role: str, as_json: bool) -> None:
    """Show a role and its permissions."""
    shown_role = reading().roles.get(role)
    if as_json:
        print_json(plain(RoleOut, shown_role))
        return
    click.echo(f"{shown_role.name}: {shown_role.description or 'no description'}")
    if shown_role.requires_second_factor:
        click.echo("Requires a second factor.")
    if shown_role.administrators_only:
        click.echo("Only administrators can assign it.")
    for name in sorted(PERMISSIONS) if shown_role.permissions == [EVERYTHING] else shown_role.permissions:
        click.echo(f"{name:<24}  {PERMISSIONS.get(name, 'This permission no longer exists.')}")


@roles.command()
@click.argument("name")
@click.option("--description", default="", help="What the role is for.")
@click.option(
    "--permission", "permissions", multiple=True, type=click.Choice(sorted(PERMISSIONS)), help="Can be repeated."
)
@click.option("--requires-second-factor", is_flag=True, help="Users with the role must set up a second factor.")
@click.option("--administrators-only", is_flag=True, help="Only administrators can assign the role.")
def create(name: str, permissions: tuple[str, ...], **fields: Any) -> None:
    """Create a role."""
    with unit_of_work() as work:
        work.roles.create(RoleSpec(name=name, permissions=frozenset(permissions), **fields), by=OPERATOR)
    click.echo(f"Created role {name}.")


@roles.command()
@role_argument
@permissions_argument
def grant(role: str, permissions: tuple[str, ...]) -> None:
    """Add permissions to a role."""
    _change(role, added=frozenset(permissions))
    click.echo(f"{role} has {', '.join(permissions)}.")


@roles.command()
@role_argument
@permissions_argument
def revoke(role: str, permissions: tuple[str, ...]) -> None:
    """Remove permissions from a role."""
    _change(role, removed=frozenset(permissions))
    click.echo(f"{role} no longer has {', '.join(permissions)}.")


@roles.command()
@role_argument
def delete(role: str) -> None:
    """Delete a role that no user has."""
    with unit_of_work() as work:
        work.roles.delete(work.roles.get(role, lock=True), by=OPERATOR)
    click.echo(f"Deleted role {role}.")


@roles.command()
@click.argument("file", type=click.File("w", lazy=True, encoding="utf-8"), default="-")
def export(file: TextIO) -> None:
    """Export all roles as YAML, to FILE or standard output."""
    exported = {
        role.name: {name: getattr(role, name) for name in RoleInFile.model_fields}
        for role in reading().roles.list_all()
    }
    yaml.safe_dump(exported, file, sort_keys=False, allow_unicode=True)


@roles.command()
@click.argument("file", type=click.File(encoding="utf-8"))
@click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
@click.option("--dry-run", is_flag=True, help="Only show the differences.")
def load(file: TextIO, yes: bool, dry_run: bool) -> None:
    """Create and change roles from a YAML file.

    Shows the differences first. Roles that are not in the file stay unchanged.
    """
    if file.name == "<stdin>" and not (yes or dry_run):
        raise click.UsageError("Reading from standard input needs --yes or --dry-run.")
    specs = read_file(file)
    changes = reading().roles.compare(specs)
    for change in changes:
        click.echo("\n    ".join([f"{'~' if change.role else '+'} {change.wanted.name}", *change.lines]))
    if not changes:
        click.echo("No differences.")
        return
    if dry_run:
        return
    if not yes:
        click.confirm("Apply these changes?", abort=True)
    _load(specs, seen=changes)
    click.echo(f"Changed {len(changes)} {'role' if len(changes) == 1 else 'roles'}.")


def _load(specs: Sequence[RoleSpec], *, seen: Sequence[RoleChange]) -> None:
    with unit_of_work() as work:
        work.roles.load(specs, seen=seen, by=OPERATOR)


def read_file(file: TextIO) -> list[RoleSpec]:
    """Raises InvalidRole with a sentence about the first thing that is wrong."""
    try:
        roles = FILE.validate_python(yaml.safe_load(file.read()) or {})
    except ValidationError as refused:
        first = refused.errors(include_url=False)[0]
        where = ": ".join(str(part) for part in first["loc"])
        raise errors.InvalidRole("file", f"{where or 'The file'}: {first['msg']}.") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as refused:
        raise errors.InvalidRole("file", f"The file isn't valid YAML: {str(refused).splitlines()[0]}.") from None
    return [
        RoleSpec(name=name, permissions=frozenset(role.permissions), **role.model_dump(exclude={"permissions"}))
        for name, role in roles.items()
    ]


def _change(name: str, *, added: frozenset[str] = frozenset(), removed: frozenset[str] = frozenset()) -> None:
    with unit_of_work() as work:
        role = work.roles.get(name, lock=True)
        before = spec_of(role)
        permissions = (granted(before.permissions) | added) - removed
        work.roles.change(role, replace(before, permissions=permissions), by=OPERATOR)
