"""`flask mail`: test the mail server, and list sent emails."""

from email.utils import make_msgid

import click
from flask.cli import AppGroup

from app.core.extensions import now, settings
from app.mail.emails import ServerTest
from app.mail.models import MailStatus
from app.mail.rendering import render
from app.mail.sender import MailDelayed, MailRefused, send
from app.mail.services.sent_mails import MailFilter
from app.unit_of_work import reading
from app.users.commands import ADDRESS
from app.web.command_output import json_option, print_list

STATUSES = [status.value for status in MailStatus]
SHOWN = ("id", "kind", "recipient", "subject", "status", "answer", "user_id", "job_id", "created_at", "sent_at")

mail = AppGroup("mail", help="Test the mail server and list sent emails.")


@mail.command()
@click.argument("email", type=ADDRESS)
def test(email: str) -> None:
    """Send a test email and show the server's answer.

    Sends it directly, without the queue.
    """
    try:
        message_id = make_msgid(domain=settings().sender.domain)
        answer = send(render(ServerTest.email(None, to=email)), message_id=message_id, at=now(), settings=settings())
    except (MailRefused, MailDelayed) as problem:
        raise click.ClickException(f"The mail server did not accept the email: {problem}") from None
    click.echo(f"{email}: {answer}.")


@mail.command(name="list")
@click.option("--to", type=ADDRESS, help="Only emails to this address.")
@click.option("--status", type=click.Choice(STATUSES), help="Only emails with this status.")
@click.option("--limit", default=50, type=click.IntRange(1, 10_000))
@json_option
def list_mails(to: str | None, status: str | None, limit: int, as_json: bool) -> None:
    """List sent emails, newest first."""
    print_list(
        reading().sent_mails.list(MailFilter(status, to), limit=limit),
        lambda row: {name: getattr(row, name) for name in SHOWN},
        lambda row: f"{row.id:>8}  {row.created_at:%Y-%m-%d %H:%M}  {row.status:<8}  {row.recipient}  {row.subject}",
        as_json=as_json,
        empty="No emails.",
    )
