"""Revocation of all access to an account, for every kind of recovery."""

from dataclasses import dataclass

from app.api_keys.service import ApiKeys
from app.auth.models import ENDED_BY_SAFETY
from app.auth.services.email_changes import EmailChanges
from app.auth.services.links import OneTimeLinks
from app.auth.services.sessions import Sessions


@dataclass(frozen=True, kw_only=True)
class Revocation:
    api_keys: ApiKeys
    email_changes: EmailChanges
    links: OneTimeLinks
    sessions: Sessions

    def revoke_access(self, user_id: int, *, reason: str) -> None:
        """End every session with its tokens, API key, known or trusted browser, pending change of address and link.

        Links that undo a change of address stay valid: they return the account to its previous owner. Second factors
        stay too: access to the mailbox must not be enough to remove them.
        """
        self.sessions.revoke_all(user_id, reason=reason)
        self.sessions.forget_devices(user_id)
        self.api_keys.revoke_all(user_id, reason=reason)
        self.email_changes.cancel(user_id)
        self.links.end_all(user_id, *ENDED_BY_SAFETY)
