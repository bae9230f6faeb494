"""The button to create a user, between those of features."""

from typing import Any

from app.core.principal import Principal
from app.unit_of_work import Work
from app.users.permissions import USERS_CREATE


def load_button(_: Work, who: Principal, _query: dict[str, str]) -> dict[str, Any] | None:
    return {} if who.has(USERS_CREATE) else None
