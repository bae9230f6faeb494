"""All kinds of email, and the tasks that send them. Their templates are in `app/templates/emails`."""

from app.emails import accounts, credentials, email_changes, factors, sign_in, sign_up

__all__ = ["accounts", "credentials", "email_changes", "factors", "sign_in", "sign_up"]
