"""The button to impersonate a user, and the banner meanwhile."""

from typing import Any

from app.core.principal import Principal
from app.impersonation.permissions import USERS_IMPERSONATE
from app.unit_of_work import Work
from app.users.models import User


def load_button(services: Work, who: Principal, user: User) -> dict[str, Any] | None:
    is_usable = user.is_active and user.email_verified_at and user.id != who.user_id
    return {} if is_usable and services.policy.may(who, USERS_IMPERSONATE, user) else None


def load_banner(_: Work, who: Principal) -> dict[str, Any] | None:
    return {} if who.impersonator_id is not None else None
