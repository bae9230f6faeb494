"""Resets on pages of other folders."""

from typing import Any

from app.core.principal import Principal
from app.factor_resets.permissions import USERS_RESET_FACTORS
from app.factor_resets.service import FactorResets
from app.unit_of_work import Work
from app.users.models import User


def load_reset(services: Work, who: Principal, user: User) -> dict[str, Any] | None:
    reset = services[FactorResets].find_open(user.id)
    may_cancel = bool(services.policy.may(who, USERS_RESET_FACTORS, user))
    return {"reset": reset, "may_cancel": may_cancel} if reset else None


def load_button(services: Work, who: Principal, user: User) -> dict[str, Any] | None:
    if not services.policy.may(who, USERS_RESET_FACTORS, user) or not services.factors.has_any(user.id):
        return None
    return None if services[FactorResets].find_open(user.id) else {}


def load_own_reset(services: Work, who: Principal) -> dict[str, Any] | None:
    reset = services[FactorResets].find_open(who.user_id)
    return {"reset": reset} if reset else None
