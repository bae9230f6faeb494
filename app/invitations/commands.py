"""`flask invitations`: send, list and revoke invitations."""

from typing import Any

import click
from flask.cli import AppGroup

from app.core.principal import OPERATOR
from app.core.resources import plain
from app.invitations.models import Invitation
from app.invitations.schemas import InvitationOut
from app.invitations.service import Invitations
from app.unit_of_work import reading, unit_of_work
from app.users.commands import NAME, email_argument
from app.web.command_output import json_option, print_list

invitations = AppGroup("invitations", help="Manage invitations.")


@invitations.command()
@email_argument
@click.option("--name", type=NAME, default="", help="The user's name.")
@click.option("--role", "roles", multiple=True, help="A role to assign. Can be repeated. Default: `member`.")
def send(email: str, name: str, roles: tuple[str, ...]) -> None:
    """Email an invitation."""
    with unit_of_work() as work:
        work[Invitations].invite(email=email, name=name, roles=roles, by=OPERATOR)
    click.echo(f"Invitation to {email} enqueued.")


@invitations.command(name="list")
@click.option("--limit", default=50, type=click.IntRange(1, 10_000))
@json_option
def list_invitations(limit: int, as_json: bool) -> None:
    """List pending invitations, newest first."""
    print_list(
        reading()[Invitations].list_pending(limit=limit),
        _values,
        lambda row: f"{row.user.email:<40}  until {row.expires_at:%Y-%m-%dT%H:%M}  {', '.join(row.roles)}",
        as_json=as_json,
        empty="No invitations.",
    )


@invitations.command()
@email_argument
def resend(email: str) -> None:
    """Email an invitation again, with a new link."""
    with unit_of_work() as work:
        work[Invitations].resend(work[Invitations].get_by_email(email), by=OPERATOR)
    click.echo(f"Invitation to {email} enqueued.")


@invitations.command()
@email_argument
def revoke(email: str) -> None:
    """Revoke an invitation."""
    with unit_of_work() as work:
        work[Invitations].revoke(work[Invitations].get_by_email(email), by=OPERATOR)
    click.echo(f"Revoked the invitation of {email}.")


def _values(invitation: Invitation) -> dict[str, Any]:
    user, inviter = invitation.user, invitation.inviter
    values = plain(InvitationOut, invitation, email=user.email, name=user.name)
    return values | {"inviter": inviter.email if inviter else None}
