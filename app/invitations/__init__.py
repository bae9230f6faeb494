"""Invitations of new users by email."""
