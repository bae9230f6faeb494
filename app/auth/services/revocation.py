"""Revocation of all access to an account, for every kind of recovery."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.auth.access import AccessKind
from app.auth.models import ENDED_BY_SAFETY
from app.auth.services.email_changes import EmailChanges
from app.auth.services.links import OneTimeLinks
from app.auth.services.sessions import Sessions
from app.core.service import Services


@dataclass(frozen=True, kw_only=True)
class Revocation:
    access: Sequence[AccessKind]
    email_changes: EmailChanges
    links: OneTimeLinks
    services: Services
    sessions: Sessions

    def revoke_access(self, user_id: int, *, reason: str) -> None:
        """End every session with its tokens, API key, known or trusted browser, pending change of address and link.

        Links that undo a change of address stay valid: they return the account to its previous owner. Second factors
        stay too: access to the mailbox must not be enough to remove them.
        """
        self.sessions.revoke_all(user_id, reason=reason)
        self.sessions.forget_devices(user_id)
        for access in self.access:
            access.revoke_all(self.services, user_id, reason)
        self.email_changes.cancel(user_id)
        self.links.end_all(user_id, *ENDED_BY_SAFETY)
