"""All kinds of email, and the tasks that send them. Their templates are in `app/templates/emails`."""

from app.auth.emails import email_changes, sign_in, sign_up
from app.emails import accounts, credentials, factors

__all__ = ["accounts", "credentials", "email_changes", "factors", "sign_in", "sign_up"]
