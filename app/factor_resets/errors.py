"""Refusals of factor resets."""

from app.core.errors import AccountError


class FactorTooNew(AccountError):
    code = "factor_too_new"
    message = (
        "Confirm with a second factor that you added at least a week before the request, or use the link in our email. "
        "You can also contact an administrator."
    )
