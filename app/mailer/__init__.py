"""Rendering and sending emails. Their kinds are in `app/emails`, their templates in `app/templates/emails`."""

from app.mailer.rendering import Message, render, sample
from app.mailer.sender import MailDelayed, MailRefused, send

__all__ = ["MailDelayed", "MailRefused", "Message", "render", "sample", "send"]
