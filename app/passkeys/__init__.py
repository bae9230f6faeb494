"""Passkeys (WebAuthn) as second factors and to sign in."""
