"""Resets of second factors by administrators, after a waiting time."""
