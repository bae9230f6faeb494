"""What `flask doctor` checks of providers."""

from collections.abc import Iterator

from app.core.extensions import settings_of
from app.oauth.clients import callback_url, client_of, openid
from app.oauth.settings import OAuthSettings
from app.ops.doctor import Finding


def check_providers() -> Iterator[Finding]:
    for provider in settings_of(OAuthSettings).oauth_providers:
        where = f"{provider.name}: its redirect URI is {callback_url(provider)}"
        try:
            client_of(provider).check()
        except (openid().ProviderAway, openid().ProviderRefused) as problem:
            advice = f"{problem}; check OAUTH_{provider.name.upper().replace('-', '_')}_DISCOVERY_URL and its response"
            yield Finding(where, "error", advice)
        else:
            yield Finding(where, "ok")
