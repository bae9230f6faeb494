"""Refusals of connected accounts."""

from app.core.errors import AccountError, NotFound


class TooManyConnections(AccountError):
    code = "too_many_connections"
    message = "You have the maximum number of connected accounts. Disconnect one first."


class IdentityTaken(AccountError):
    code = "identity_taken"
    message = "It is connected to another account. Sign in to that account and disconnect it first."


class ConnectionNotFound(NotFound):
    message = "Connected account not found."
