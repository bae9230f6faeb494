"""Authenticator apps (TOTP, RFC 6238) as second factors."""
