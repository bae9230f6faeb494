"""`flask users`: user management with the services that the pages use."""

import re
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import click
from flask.cli import AppGroup

from app.auth.password_setup import credentials
from app.auth.services.password_policy import NewPassword
from app.core import errors
from app.core.addresses import canonical_address, clean_name
from app.core.extensions import settings
from app.core.lengths import MAX_NAME_LENGTH, MAX_REASON_LENGTH
from app.core.principal import OPERATOR
from app.core.resources import plain
from app.mail.rendering import address_of
from app.unit_of_work import Work, reading, unit_of_work
from app.users.models import USER_FIELDS, Status, User
from app.users.permissions import PERMISSIONS
from app.users.schemas import UserDetails, plain_user
from app.users.services.search import UserFilter
from app.web.command_output import json_option, print_json, print_list, print_values

users = AppGroup("users", help="Manage users. USER is an email address or a user ID.")


class Address(click.ParamType):
    """An email address in its canonical form."""

    name = "email"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return canonical_address(str(value))
        except errors.InvalidAddress as refusal:
            self.fail(str(refusal), param, ctx)


class Text(click.ParamType):
    """One line of text."""

    def __init__(self, name: str, longest: int) -> None:
        self.name, self._longest = name, longest

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return clean_name(str(value), longest=self._longest)
        except errors.InvalidName as refusal:
            self.fail(str(refusal), param, ctx)


class Who(click.ParamType):
    """An existing user: an email address in its canonical form, or an id."""

    name = "user"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | int:
        return int(value) if re.fullmatch(r"[1-9][0-9]{0,17}", str(value)) else ADDRESS.convert(value, param, ctx)


ADDRESS, NAME, WHO = Address(), Text("name", MAX_NAME_LENGTH), Who()
email_argument = click.argument("email", type=ADDRESS)
user_argument = click.argument("who", type=WHO, metavar="USER")
action_argument = click.argument("action", type=click.Choice(sorted(PERMISSIONS)), metavar="ACTION")


def change_user(who: str | int, act: Callable[[Work, User], object], **which: bool) -> User:
    """Act on a user in one transaction; `which` are options of `Users.find`."""
    with unit_of_work() as work:
        user = work.users.find(who, lock=True, **which)
        act(work, user)
    return user


@users.command()
@email_argument
@click.option("--name", type=NAME, default="", help="The user's name.")
@click.option("--role", "roles", multiple=True, help="A role to assign. Can be repeated. Default: `member`.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input instead of asking.")
@json_option
def create(email: str, name: str, roles: tuple[str, ...], password_stdin: bool, as_json: bool) -> None:
    """Create a user with a confirmed email address."""
    services = reading()
    services.users.check_free(email)
    for role in roles:
        services.roles.get(role)
    password = ask_password(words=(email, name), from_stdin=password_stdin)
    with unit_of_work() as work:
        user = work.users.create(email=email, name=name, roles=roles, password=password, by=OPERATOR)
        values = details(user)
    if as_json:
        print_json(values)
    else:
        click.echo(f"Created {email} ({', '.join(values['roles'])}).")


@users.command(name="list")
@click.option("--search", default="", help="The start of an address, an @domain or words of a name, or an ID.")
@click.option("--role", help="Only users with this role.")
@click.option("--status", type=click.Choice(get_args(Status)), help="Only users with this status.")
@click.option("--limit", default=50, type=click.IntRange(1, 10_000))
@json_option
def list_users(search: str, role: str | None, status: Status | None, limit: int, as_json: bool) -> None:
    """List users, newest first."""
    page, _ = reading().user_search.page(UserFilter(q=search, role=role, status=status, limit=limit))
    print_list(
        page,
        plain_user,
        lambda user: f"{user.id:>8}  {user.email:<40}  {user.status:<12}  {', '.join(user.roles)}",
        as_json=as_json,
        empty="No users.",
    )


@users.command()
@user_argument
@json_option
def show(who: str | int, as_json: bool) -> None:
    """Show one user."""
    print_values(details(reading().users.find(who)), as_json=as_json)


def user_field_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add an option for each of USER_FIELDS."""
    for name, field in reversed(USER_FIELDS.items()):
        text = field.label.lower()
        option = click.option(f"--{name.replace('_', '-')}", type=Text(text, field.longest), help=f"A new {text}.")
        command = option(command)
    return command


@users.command()
@user_argument
@user_field_options
@click.option("--email", "new_email", type=ADDRESS, help="A new email address, confirmed at once.")
@click.option(
    "--password", "asks_password", is_flag=True, help="Ask for a new password. Signs the user out everywhere."
)
@click.option("--password-stdin", is_flag=True, help="Read the new password from standard input.")
def edit(who: str | int, new_email: str | None, asks_password: bool, password_stdin: bool, **texts: str | None) -> None:
    """Change a user's name, email address or password."""
    changed = {name: text for name, text in texts.items() if text is not None}
    if not changed and new_email is None and not (asks_password or password_stdin):
        raise click.UsageError("Use --name, --email, --password or --password-stdin.")
    services = reading()
    user = services.users.find(who)
    email = user.email
    if new_email not in {None, email}:
        services.users.check_free(new_email)
    password = (
        ask_password(words=(email, user.name), from_stdin=password_stdin) if asks_password or password_stdin else None
    )
    with unit_of_work() as work:
        user = work.users.find(who, lock=True)
        if changed:
            work.users.change_fields(user, changed, by=OPERATOR)
        if new_email is not None:
            work.users.set_email(user, new_email, by=OPERATOR)
        if password is not None:
            work.users.set_password(user, password, by=OPERATOR)
    click.echo(f"Changed {new_email or email}.")


@users.command()
@user_argument
@click.option("--reason", required=True, help="The reason. The user gets it by email.")
@click.option("--until", type=click.DateTime(), help="When to reactivate, in UTC: 2026-12-31 or 2026-12-31T18:00:00.")
def deactivate(who: str | int, reason: str, until: datetime | None) -> None:
    """Deactivate a user.

    Ends the user's sessions and links and revokes their API keys. `flask users reactivate` undoes it.
    """
    reason = check_reason(reason)
    ends = until.replace(tzinfo=UTC) if until else None
    user = change_user(
        who, lambda work, user: work.users.deactivate(user, reason=reason, until=ends, by=OPERATOR), closed=True
    )
    click.echo(f"Deactivated {user.email}.")


@users.command()
@user_argument
def reactivate(who: str | int) -> None:
    """Reactivate a deactivated user."""
    with unit_of_work() as work:
        user = work.users.find(who, lock=True)
        changed = work.users.reactivate(user, by=OPERATOR)
    click.echo(f"Reactivated {user.email}." if changed else f"{user.email} is already active.")


@users.command()
@user_argument
@click.option("--reason", help="The reason. The user gets it by email, unless --now.")
@click.option("--now", is_flag=True, help="Delete permanently now, also a deleted user.")
@click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
def delete(who: str | int, reason: str | None, now: bool, yes: bool) -> None:
    """Delete a user.

    The user is signed out. After DELETED_ACCOUNT_DAYS the account and its personal data are permanently deleted, unless
    `flask users restore` undoes it. Audit events remain without personal data.
    """
    reason = None if reason is None else check_reason(reason)
    email = reading().users.find(who, deleted=now).email
    if not yes:
        click.confirm(f"Permanently delete {email}? This can't be undone." if now else f"Delete {email}?", abort=True)
    with unit_of_work() as work:
        user = work.users.find(who, lock=True, deleted=now)
        if now:
            work.users.erase(user, by=OPERATOR)
        else:
            work.users.delete(user, reason=reason, by=OPERATOR)
    click.echo(f"{'Permanently deleted' if now else 'Deleted'} {email}.")


@users.command()
@user_argument
def restore(who: str | int) -> None:
    """Restore a deleted user."""
    user = change_user(who, lambda work, user: work.users.restore(user, by=OPERATOR), deleted=True)
    click.echo(f"Restored {user.email}.")


@users.command(name="revoke-sessions")
@user_argument
def revoke_sessions(who: str | int) -> None:
    """Sign a user out everywhere."""
    with unit_of_work() as work:
        count = work.users.revoke_sessions(work.users.find(who), by=OPERATOR)
    click.echo(f"Sessions revoked: {count}.")


@users.command(name="send-reset")
@user_argument
def send_reset(who: str | int) -> None:
    """Email a user a link to choose a new password."""
    user = change_user(who, lambda work, user: work.users.send_reset(user, by=OPERATOR))
    click.echo(f"Email to {user.email} enqueued.")


@users.command(name="send-confirmation")
@user_argument
def send_confirmation(who: str | int) -> None:
    """Email a user a new confirmation link."""
    user = change_user(who, lambda work, user: work.users.resend_verification(user, by=OPERATOR))
    click.echo(f"Email to {user.email} enqueued.")


@users.command()
@user_argument
@click.argument("role")
def assign(who: str | int, role: str) -> None:
    """Assign a role to a user."""
    user = change_user(who, lambda work, user: work.users.assign(user, role, by=OPERATOR))
    click.echo(f"Assigned {role} to {user.email}.")


@users.command()
@user_argument
@click.argument("role")
def unassign(who: str | int, role: str) -> None:
    """Remove a role from a user."""
    user = change_user(who, lambda work, user: work.users.unassign(user, role, by=OPERATOR))
    click.echo(f"Removed {role} from {user.email}.")


@users.command()
@user_argument
@action_argument
@click.argument("resource")
def grant(who: str | int, action: str, resource: str) -> None:
    """Grant a user a permission on one resource.

    ACTION is a permission, RESOURCE a type and an ID, like users:42.
    """
    with unit_of_work() as work:
        user = work.users.find(who)
        work.policy.grant(user.id, action, work.policy.get_resource(resource), by=OPERATOR)
    click.echo(f"Granted {user.email} {action} on {resource}.")


@users.command()
@user_argument
@action_argument
@click.argument("resource")
def ungrant(who: str | int, action: str, resource: str) -> None:
    """Revoke a grant on one resource."""
    with unit_of_work() as work:
        user = work.users.find(who)
        work.policy.revoke(user.id, action, work.policy.get_resource(resource), by=OPERATOR)
    click.echo(f"{user.email} no longer has {action} on {resource}.")


@users.command()
@user_argument
@action_argument
@click.argument("resource", required=False)
@json_option
def can(who: str | int, action: str, resource: str | None, as_json: bool) -> None:
    """Check whether a user has a permission, and why.

    ACTION is a permission, RESOURCE a type and an ID, like users:42.
    """
    services = reading()
    user = services.users.find(who)
    decision = services.policy.why(user, action, services.policy.get_resource(resource) if resource else None)
    if as_json:
        print_json(asdict(decision))
        return
    click.echo(f"{'Yes' if decision else 'No'} ({decision.rule}). {decision.reason}")


@users.command(name="reset-link")
@user_argument
@json_option
def reset_link(who: str | int, as_json: bool) -> None:
    """Print a link to choose a new password.

    For a user who can't receive email. Send the link over a secure channel.
    """
    with unit_of_work() as work:
        lifetime = timedelta(minutes=settings().reset_link_minutes)
        link, token = work.users.create_reset_link(work.users.find(who), lifetime=lifetime, by=OPERATOR)
    url, expires_at = address_of(f"/auth/reset-password/{token}"), link.expires_at
    if as_json:
        print_json({"link": url, "expires_at": expires_at})
        return
    click.echo(url)
    click.echo(f"The link works once, until {expires_at:%Y-%m-%d %H:%M} UTC.", err=True)


def ask_password(*, words: tuple[str, ...], from_stdin: bool) -> NewPassword:
    """Read from standard input or a prompt, never from an argument. Raises WeakPassword."""
    if from_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    return credentials.policy.prepare(password, words=words)


def check_reason(reason: str | None) -> str:
    """Return the reason, trimmed. Raises UsageError if it is missing or too long."""
    kept = (reason or "").strip()
    if not kept or len(kept) > MAX_REASON_LENGTH:
        raise click.UsageError(f"Enter a reason of 1 to {MAX_REASON_LENGTH} characters.")
    return kept


def details(user: User) -> dict[str, Any]:
    """Return a user as plain values."""
    return plain(UserDetails, user, roles=[role.name for role in user.roles])
