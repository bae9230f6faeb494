"""The button to impersonate a user."""

from typing import Any

from app.core.principal import Principal
from app.unit_of_work import Work
from app.users.models import User
from app.users.permissions import USERS_IMPERSONATE


def load_button(services: Work, who: Principal, user: User) -> dict[str, Any] | None:
    is_usable = user.is_active and user.email_verified_at and user.id != who.user_id
    return {} if is_usable and services.policy.may(who, USERS_IMPERSONATE, user) else None
