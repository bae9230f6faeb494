"""`flask mail`: check that mail can be sent."""

from __future__ import annotations

from email.utils import make_msgid

import click
from flask.cli import AppGroup

from app.cli.users import ADDRESS
from app.emails import MailDelayed, MailRefused, messages, send
from app.extensions import now, settings

mail = AppGroup("mail", help="Test the mail server.")


@mail.command()
@click.argument("email", type=ADDRESS)
def test(email: str) -> None:
    """Send a test mail at once, without the queue, and say what the server answered."""
    try:
        message_id = make_msgid(domain=settings().sender.domain)
        answer = send(messages.test_mail(email), message_id=message_id, at=now(), settings=settings())
    except (MailRefused, MailDelayed) as problem:
        raise click.ClickException(f"The mail server did not take it: {problem}") from None
    click.echo(f"{email}: {answer}.")
