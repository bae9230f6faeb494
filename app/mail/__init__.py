"""Emails: their base class, rendering, sending, records, and pages."""
