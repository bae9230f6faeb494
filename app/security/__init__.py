"""Passwords and tokens: usable without Flask."""
