"""Providers on the pages of sign-in, sign-up and confirmation."""

from typing import Any

from app.core.extensions import settings
from app.core.principal import Principal
from app.oauth.service import Connections
from app.unit_of_work import Work


def load_providers(_: Work, who: Principal | None) -> dict[str, Any] | None:
    return {} if settings().oauth_providers else None


def load_own_providers(services: Work, who: Principal) -> dict[str, Any] | None:
    """Return the providers with which the user can confirm their identity."""
    names = {connection.provider for connection in services[Connections].list_of(who.user_id)}
    providers = [provider for provider in settings().oauth_providers if provider.name in names]
    return {"providers": providers} if providers else None
