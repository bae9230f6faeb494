"""The test email of `flask mail test`."""

from typing import ClassVar

from app.mail.kinds import EmailKind


class ServerTest(EmailKind):
    """Sent by `flask mail test`, to no user."""

    template, subject = "test_mail", "Test email from {site}"
    sample: ClassVar = {"name": ""}
