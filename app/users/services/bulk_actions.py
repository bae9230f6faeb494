"""One action on several users, each checked separately."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from app.core import errors
from app.core.principal import Principal
from app.core.service import Service
from app.users.services.roles import Roles
from app.users.services.users import Users

MOST = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """`reason` and `until` belong to a deactivation, `role` to an assignment."""

    kind: Literal["deactivate", "end_sessions", "assign"]
    role: str = ""
    reason: str = ""
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class BulkResult:
    """The result for one user; `refusal` is the reason if nothing changed."""

    user_id: int
    name: str
    refusal: str | None


class BulkActions(Service):
    roles: Roles
    users: Users

    def perform(self, act: Act, user_ids: Iterable[int], *, by: Principal) -> list[BulkResult]:
        """Perform the action for at most MOST users; users that are gone or out of reach are skipped with the reason.

        Roll the transaction back for a preview.
        """
        # In one order, so that two who do this at once do not wait for each other.
        return [self._outcome(act, user_id, by=by) for user_id in sorted(set(user_ids))[:MOST]]

    def _outcome(self, act: Act, user_id: int, *, by: Principal) -> BulkResult:
        name = f"User {user_id}"
        try:
            with self.session.begin_nested():
                user = self.users.get(user_id, lock=True, closed=act.kind == "deactivate")
                name = user.name or user.email
                if act.kind == "deactivate":
                    self.users.deactivate(user, reason=act.reason, until=act.until, by=by)
                elif act.kind == "end_sessions":
                    self.users.revoke_sessions(user, by=by)
                else:
                    self.users.assign(user, act.role, by=by)
        except errors.AccountError as refusal:
            return BulkResult(user_id, name, str(refusal))
        return BulkResult(user_id, name, None)
