"""Emails about signing up, signing in and email changes."""
