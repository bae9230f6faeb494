"""Refusals of invitations."""

from app.core.errors import NotFound


class InvitationNotFound(NotFound):
    message = "Invitation not found. It may have been accepted."
