"""Refusals of API keys."""

from app.core.errors import AccountError, NotFound


class ApiKeyNotFound(NotFound):
    message = "API key not found."


class ScopeNotHeld(AccountError):
    """`missing` are the scopes that the owner does not hold."""

    code = "scope_not_held"

    def __init__(self, missing: list[str]) -> None:
        super().__init__(f"You don't have {', '.join(missing)}, so your API key can't have it either.")
        self.missing = missing


class TooManyApiKeys(AccountError):
    code = "too_many_api_keys"
