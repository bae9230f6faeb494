"""Passwords, tokens and estimates of strength: usable without Flask."""
