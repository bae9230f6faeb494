"""Sign-in providers, read from `OAUTH_<NAME>_...`."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from app.core import urls

GITHUB = "github"
LABELS = {"google": "Google", "microsoft": "Microsoft", GITHUB: "GitHub"}
DISCOVERY_URLS = {
    "google": "https://accounts.google.com/.well-known/openid-configuration",
    "microsoft": "https://login.microsoftonline.com/common/v2.0/.well-known/openid-configuration",
}
HOSTS = {
    "google": ("oauth2.googleapis.com", "openidconnect.googleapis.com", "www.googleapis.com"),
    "microsoft": ("graph.microsoft.com",),
}
# What asks people to prove again who they are, where it is not `prompt=login` (OpenID Connect Core 1.0, 3.1.2.1).
PROMPTS = {"google": "select_account"}
_NAME = r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*?"


class Provider(BaseModel):
    """A sign-in provider. `name` is the last part of `/auth/oauth/<name>`; only `email_domains`, if any, are accepted.

    `hosts` are hosts that its discovery document may name besides those of its own domain. GitHub has no such document
    (it supports only OAuth 2.0); all other providers use OpenID Connect.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    client_id: str = Field(min_length=1, max_length=500)
    client_secret: SecretStr = SecretStr("")
    discovery_url: str = ""
    label: str = Field("", max_length=40)
    email_domains: list[str] = []
    hosts: list[str] = []
    trust_email: bool = False

    @field_validator("discovery_url")
    @classmethod
    def _address(cls, value: str) -> str:
        if not is_safe(value):
            raise ValueError("use an https address like https://idp.example.com/.well-known/openid-configuration")
        return value

    @field_validator("email_domains", "hosts", mode="before")
    @classmethod
    def _domains(cls, value: Any) -> Any:
        listed = [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
        if not all(re.fullmatch(r"[^\s@/:*]+\.[^\s@/:*]+", domain) for domain in listed):
            raise ValueError("list domains like example.com, without @ and without *")
        return [urls.ascii_host(domain) for domain in listed]

    def lets_in(self, email: str | None) -> bool:
        """Return whether a confirmed address (canonical or None) is in an allowed domain, exactly."""
        return not self.email_domains or (email or "").rpartition("@")[2] in self.email_domains


def is_safe(url: Any) -> bool:
    """Return whether a provider's URL is safe: https without user name, or http on this machine."""
    try:
        parts = urlsplit(url if isinstance(url, str) else "")
        _ = parts.port
    except ValueError:
        return False
    if not parts.hostname or parts.username is not None:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in {"localhost", "127.0.0.1", "::1"})


def read_providers(environment: Mapping[str, str]) -> list[Provider]:
    """Return the providers named in the settings (lower-case names), in alphabetical order.

    Raises ValueError with a sentence that names the setting.
    """
    providers: dict[str, dict[str, Any]] = {}
    parts = "|".join(field for field in Provider.model_fields if field != "name")
    for setting, value in environment.items():
        if not setting.startswith("oauth_"):
            continue
        match = re.fullmatch(rf"oauth_({_NAME})_({parts})", setting)
        if match is None:
            raise ValueError(f"{setting.upper()} is unknown. Use OAUTH_<NAME>_CLIENT_ID, ..._CLIENT_SECRET and so on.")
        providers.setdefault(match[1], {})[match[2]] = value
    return [_provider(name, values) for name, values in sorted(providers.items())]


def _provider(name: str, values: dict[str, Any]) -> Provider:
    written = {"label": LABELS.get(name) or name.replace("_", " ").title(), "name": name.replace("_", "-")}
    if name != GITHUB:
        written["discovery_url"] = DISCOVERY_URLS.get(name, "")
    elif "discovery_url" in values:
        raise ValueError("OAUTH_GITHUB_DISCOVERY_URL: GitHub has none. Remove it.")
    prefix = f"OAUTH_{name.upper()}"
    for required in ("client_id", *(["discovery_url"] if not written.get("discovery_url") and name != GITHUB else [])):
        if required not in values:
            raise ValueError(f"{prefix}_{required.upper()} is not set, but another {prefix}_... is.")
    try:
        return Provider.model_validate(written | values)
    except ValidationError as refused:
        error = refused.errors()[0]
        message = str(error["msg"]).removeprefix("Value error, ")
        raise ValueError(f"{prefix}_{str(error['loc'][0]).upper()}: {message}.") from None
