"""Emails: one function for each message, and the sender. Templates are in `app/templates/emails`."""

from app.emails.message import Message
from app.emails.sender import MailDelayed, MailRefused, send

__all__ = ["MailDelayed", "MailRefused", "Message", "send"]
