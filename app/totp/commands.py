"""`flask users reencrypt`, and what `flask doctor` checks of authenticator apps."""

from collections.abc import Iterator

import click

from app.ops.doctor import Finding, with_database
from app.totp.service import AuthenticatorApps
from app.unit_of_work import reading, unit_of_work
from app.users.commands import users


@users.command()
def reencrypt() -> None:
    """Encrypt TOTP secrets with the current SECRET_KEY.

    Run it before you remove a key from SECRET_KEY_FALLBACKS.
    """
    sealed = 0
    while True:
        with unit_of_work() as work:
            count = work[AuthenticatorApps].reencrypt()
        sealed += count
        if not count:
            break
    click.echo(f"Encrypted again: {sealed}.")


@with_database
def check_seeds() -> Iterator[Finding]:
    if lost := reading()[AuthenticatorApps].count_lost():
        advice = "add the old key to SECRET_KEY_FALLBACKS, or their owners have to use recovery codes"
        yield Finding(f"{lost} authenticator apps were set up with another SECRET_KEY", "error", advice)
