"""The sender: SMTP with time-outs and verified TLS, or the development mailbox without a server."""

import logging
import mailbox
import smtplib
import ssl
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime
from urllib.parse import parse_qs, urlsplit

from app.core.lengths import MAX_OUTCOME_LENGTH
from app.core.settings import CoreSettings
from app.mail.rendering import Message

log = logging.getLogger(__name__)


class MailRefused(Exception):
    """The server refused this email permanently (5yz, RFC 5321)."""


class MailDelayed(Exception):
    """The server could not accept it now: no connection, or a temporary failure (4yz)."""


def send(message: Message, *, message_id: str, at: datetime, settings: CoreSettings) -> str:
    """Send an email; returns the server's response. Raises MailRefused, MailDelayed."""
    mail = _mime(message, message_id=message_id, at=at, settings=settings)
    if not settings.mail_url.get_secret_value():
        if settings.is_live:
            raise MailDelayed("MAIL_URL is not set")
        keep_in_mailbox(mail, settings)
        return "Kept in the development mailbox"
    try:
        server = _connect(settings)
        try:
            server.send_message(mail)
        finally:
            _quit(server)
    except smtplib.SMTPRecipientsRefused as refusal:
        code, answer = next(iter(refusal.recipients.values()))
        raise _refusal(code, answer) from None
    except smtplib.SMTPResponseException as refusal:
        raise _refusal(refusal.smtp_code, refusal.smtp_error) from None
    except smtplib.SMTPNotSupportedError as problem:
        raise MailRefused(str(problem)) from None
    except (smtplib.SMTPException, OSError) as problem:
        raise MailDelayed(type(problem).__name__) from None
    return "accepted"


def check_server(settings: CoreSettings) -> str:
    """Connect, log in and name the sender without sending an email; returns the problem, or an empty string."""
    try:
        server = _connect(settings)
        try:
            # A server that requires authentication reports it only now.
            server.ehlo_or_helo_if_needed()
            code, answer = server.mail(settings.sender.address)
            if code >= 400:
                raise smtplib.SMTPResponseException(code, answer)
        finally:
            _quit(server)
    except smtplib.SMTPResponseException as refusal:
        return str(_refusal(refusal.smtp_code, refusal.smtp_error))
    except (MailDelayed, smtplib.SMTPException, OSError) as problem:
        return getattr(problem, "strerror", None) or str(problem) or type(problem).__name__
    return ""


def _quit(server: smtplib.SMTP) -> None:
    """Send QUIT; its response does not matter, because the email is already accepted or refused."""
    try:
        server.quit()
    except (smtplib.SMTPException, OSError) as problem:
        log.debug("the mail server did not say goodbye", extra={"reason": type(problem).__name__})
    finally:
        server.close()


def keep_in_mailbox(mail: EmailMessage, settings: CoreSettings) -> None:
    """Store it in the Maildir that /dev/mailbox shows."""
    settings.instance_path.mkdir(parents=True, exist_ok=True)
    mailbox.Maildir(settings.instance_path / "mailbox", create=True).add(mail)


def _mime(message: Message, *, message_id: str, at: datetime, settings: CoreSettings) -> EmailMessage:
    needs_utf8 = not message.to.isascii()
    mail = EmailMessage(policy=SMTPUTF8 if needs_utf8 else SMTP)
    mail["Subject"] = message.subject
    sender = settings.sender
    name = sender.name if settings.mail_from else message.sender_name or sender.name
    mail["From"] = Address(display_name=name, username=sender.local, domain=sender.domain)
    local, _, domain = message.to.rpartition("@")
    mail["To"] = Address(username=local, domain=domain)  # A single string would have to be ASCII.
    mail["Date"] = format_datetime(at)
    mail["Message-ID"] = message_id
    # Keeps vacation responders from answering (RFC 3834).
    mail["Auto-Submitted"] = "auto-generated"
    # Not every server accepts 8-bit text (8BITMIME, RFC 6152).
    mail.set_content(message.text, cte="quoted-printable")
    mail.add_alternative(message.html, subtype="html", cte="quoted-printable")
    return mail


def _connect(settings: CoreSettings) -> smtplib.SMTP:
    """Connect with TLS: `smtps://` from the start, `smtp://` by STARTTLS unless the server is on this machine.

    `?starttls=never` in the URL switches the upgrade off for a server on a private network.
    """
    parts = urlsplit(settings.mail_url.get_secret_value())
    host, timeout = parts.hostname or "", settings.mail_timeout_seconds
    if parts.scheme == "smtps":
        server: smtplib.SMTP = smtplib.SMTP_SSL(
            host, parts.port or 465, timeout=timeout, context=ssl.create_default_context()
        )
    else:
        server = smtplib.SMTP(host, parts.port or 587, timeout=timeout)
    try:
        if parts.scheme == "smtp" and not _goes_unencrypted(settings):
            server.starttls(context=ssl.create_default_context())
        credentials = settings.smtp_credentials()
        if credentials:
            server.login(*credentials)
    except smtplib.SMTPNotSupportedError as problem:
        server.close()
        # Both the server and MAIL_URL can be fixed, and then the email is sent.
        raise MailDelayed(str(problem)) from None
    except BaseException:
        server.close()
        raise
    return server


def _goes_unencrypted(settings: CoreSettings) -> bool:
    parts = urlsplit(settings.mail_url.get_secret_value())
    starttls = parse_qs(parts.query).get("starttls", [""])[0]
    return starttls == "never" or (starttls != "always" and parts.hostname in {"localhost", "127.0.0.1", "::1"})


def _refusal(code: int, answer: bytes | str) -> MailRefused | MailDelayed:
    text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
    # These four concern our credentials, which can be fixed.
    lasting = 500 <= code < 600 and code not in {530, 534, 535, 538}
    return (MailRefused if lasting else MailDelayed)(f"{code} {text}"[:MAX_OUTCOME_LENGTH])
