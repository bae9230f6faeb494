"""API keys on pages of other folders."""

from typing import Any

from app.api_keys.service import ApiKeys
from app.core.principal import Principal
from app.unit_of_work import Work
from app.users.models import User


def load_keys(services: Work, who: Principal, user: User) -> dict[str, Any] | None:
    keys = services[ApiKeys].list_active(user.id)
    return {"api_keys": keys} if keys else None
