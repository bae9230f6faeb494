"""Impersonation: administrators use the site as another user for a limited time."""
