"""Emails about signing up, signing in, second factors and email changes."""
