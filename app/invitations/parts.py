"""The button to invite a user."""

from typing import Any

from app.core.principal import Principal
from app.unit_of_work import Work
from app.users.permissions import USERS_INVITE


def load_button(_: Work, who: Principal, _query: dict[str, str]) -> dict[str, Any] | None:
    return {} if who.has(USERS_INVITE) else None
