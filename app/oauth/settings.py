from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.core.settings import CoreSettings
from app.oauth.providers import Provider, read_providers


class OAuthSettings(CoreSettings):
    oauth_providers: list[Provider] = []  # From OAUTH_<NAME>_CLIENT_ID and so on.

    @classmethod
    def is_setting(cls, name: str) -> bool:
        return name.startswith("OAUTH_") or super().is_setting(name)

    @classmethod
    def read_more(cls, written: Mapping[str, str]) -> dict[str, Any]:
        providers = read_providers(written)
        return super().read_more(written) | ({"oauth_providers": providers} if providers else {})

    def find_provider(self, name: str) -> Provider | None:
        return next((provider for provider in self.oauth_providers if provider.name == name), None)
