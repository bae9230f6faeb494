"""Refusals of passkeys."""

from app.core.errors import AccountError, FactorRefused


class BadPasskey(FactorRefused):
    code = "bad_passkey"
    message = "Couldn't use that passkey. Try again, or use another method."


class TooManyPasskeys(AccountError):
    code = "too_many_passkeys"
    message = "You have the maximum number of passkeys. Remove one first."


class PasskeyTaken(AccountError):
    code = "passkey_taken"
    message = "That passkey is already in use."
