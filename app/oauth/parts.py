"""Providers on the pages of sign-in, sign-up and confirmation."""

from typing import Any

from app.core.extensions import settings_of
from app.core.principal import Principal
from app.oauth.service import Connections
from app.oauth.settings import OAuthSettings
from app.unit_of_work import Work


def load_providers(_: Work, who: Principal | None) -> dict[str, Any] | None:
    providers = settings_of(OAuthSettings).oauth_providers
    return {"providers": providers} if providers else None


def load_own_providers(services: Work, who: Principal) -> dict[str, Any] | None:
    """Return the providers with which the user can confirm their identity."""
    names = {connection.provider for connection in services[Connections].list_of(who.user_id)}
    providers = [provider for provider in settings_of(OAuthSettings).oauth_providers if provider.name in names]
    return {"providers": providers} if providers else None


def label_methods() -> dict[str, str]:
    """Return the labels of providers, which are ways to sign in, by name."""
    return {provider.name: provider.label for provider in settings_of(OAuthSettings).oauth_providers}
