"""Clients of the providers in the settings, created on first use."""

from __future__ import annotations

from threading import BoundedSemaphore
from types import ModuleType
from typing import TYPE_CHECKING, cast

from flask import current_app

from app.core.extensions import settings
from app.oauth.providers import Provider

if TYPE_CHECKING:
    from app.oauth.openid import Client


def client_of(provider: Provider) -> Client:
    """Return the cached client with the provider's documents. At most half of the web threads use it at once."""
    kept = current_app.extensions
    at_once = kept.setdefault("oauth_at_once", BoundedSemaphore(max(1, settings().web_threads // 2)))
    clients = kept.setdefault("oauth_clients", {})
    if provider.name not in clients:
        clients[provider.name] = openid().Client(provider, redirect_uri=callback_url(provider), at_once=at_once)
    return cast("Client", clients[provider.name])


def callback_url(provider: Provider) -> str:
    """Return the redirect URI to register at the provider."""
    return f"{settings().public_url}/auth/oauth/{provider.name}/callback"


def openid() -> ModuleType:
    """Return the module for the protocol; it loads Authlib and requests."""
    from app.oauth import openid  # noqa: PLC0415

    return openid
