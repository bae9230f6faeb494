"""`flask invitations`: send, list and revoke invitations."""

import json
from typing import Any

import click
from flask.cli import AppGroup

from app.cli.users import NAME, email_argument, json_option
from app.models import Invitation
from app.principal import OPERATOR
from app.unit_of_work import reading, unit_of_work

invitations = AppGroup("invitations", help="Manage invitations.")


@invitations.command()
@email_argument
@click.option("--name", type=NAME, default="", help="The user's name.")
@click.option("--role", "roles", multiple=True, help="A role to assign. Can be repeated. Default: `member`.")
def send(email: str, name: str, roles: tuple[str, ...]) -> None:
    """Email an invitation."""
    with unit_of_work() as work:
        work.invitations.invite(email=email, name=name, roles=roles, by=OPERATOR)
    click.echo(f"Invitation to {email} enqueued.")


@invitations.command(name="list")
@click.option("--limit", default=50, type=click.IntRange(1, 10_000))
@json_option
def list_invitations(limit: int, as_json: bool) -> None:
    """List pending invitations, newest first."""
    found = [as_dict(invitation) for invitation in reading().invitations.list_pending(limit=limit)]
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for invitation in found:
        click.echo(
            f"{invitation['email']:<40}  until {invitation['expires_at'][:16]}  {', '.join(invitation['roles'])}"
        )
    if not found:
        click.echo("No invitations.")


@invitations.command()
@email_argument
def resend(email: str) -> None:
    """Email an invitation again, with a new link."""
    with unit_of_work() as work:
        work.invitations.resend(work.invitations.get_by_email(email), by=OPERATOR)
    click.echo(f"Invitation to {email} enqueued.")


@invitations.command()
@email_argument
def revoke(email: str) -> None:
    """Revoke an invitation."""
    with unit_of_work() as work:
        work.invitations.revoke(work.invitations.get_by_email(email), by=OPERATOR)
    click.echo(f"Revoked the invitation of {email}.")


def as_dict(invitation: Invitation) -> dict[str, Any]:
    """Return an invitation as plain values; times are RFC 3339."""
    return {
        "id": invitation.id,
        "email": invitation.user.email,
        "name": invitation.user.name,
        "roles": invitation.roles,
        "inviter": invitation.inviter.email if invitation.inviter else None,
        "created_at": invitation.created_at.isoformat(),
        "expires_at": invitation.expires_at.isoformat(),
    }
