"""Confirmation of email addresses."""

from collections.abc import Sequence

from app.audit.services.log import AuditLog
from app.core import errors
from app.core.service import Service, Services
from app.users.models import MEMBER, User
from app.users.promises import Promises
from app.users.services.roles import Roles


class Confirmation(Service):
    audit: AuditLog
    promises: Sequence[Promises]
    registration_open: bool
    roles: Roles
    services: Services

    def confirm_address(self, user: User) -> None:
        """Mark an email address as confirmed, however its owner proved it; no change if it already is.

        The user gets the roles that were promised to them, or else the role `member`. Raises RegistrationClosed if
        sign-up is not open and nothing was promised.
        """
        if user.is_verified():
            return
        is_promised = self.is_promised(user.id)
        if not is_promised and not self.registration_open:
            raise errors.RegistrationClosed
        user.email_verified_at = user.updated_at = self.clock()
        if not is_promised:
            self.audit.record("user.verified", subject_id=user.id, actor_id=user.id)
        promised = [role for promises in self.promises for role in promises.keep(self.services, user)]
        for role in promised or [MEMBER]:
            self.roles.assign_promised(user, role)

    def is_promised(self, user_id: int) -> bool:
        """Return whether something was promised to `user_id`, such as an open invitation."""
        return any(promises.is_open(self.services, user_id) for promises in self.promises)
