"""Tests of several features: in a clone that deleted one of them, a test that uses it is skipped."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NoReturn

import pytest

from app.features import FEATURES
from app.settings import Settings

# The features of this release, each with its requests (`METHOD /path`) and commands.
ALL = {
    "api_keys": r"/(account|api/v1)/api-keys|flask keys",
    "demo": r"flask demo",
    "factor_resets": r"/(keep|reset)-factors|flask users reset-factors",
    "forward_auth": r"/auth/forward\b",
    "impersonation": r"/impersonate|/stop-impersonating",
    "imports": r"/users/imports?\b|/users/export|flask users (import|export)",
    "invitations": r"/invitations?\b|/users/new|POST /api/v1/users$|flask invitations",
    "oauth": r"/account/connections|/auth/oauth/",
    "own_data": r"/account/(close|data)",
    "passkeys": r"/security/passkeys|/auth/passkey|/account/security/\d+$",
    "reports": r"/admin/reports",
    "site_settings": r"/admin/settings",
    "totp": r"/account/security/(begin|codes)|flask users reencrypt",
}
DELETED = {name: re.compile(pattern) for name, pattern in ALL.items() if name not in FEATURES}


def needs_for(request: str) -> None:
    """Skip a test whose request or command belongs to a deleted feature."""
    for name, pattern in DELETED.items():
        if pattern.search(request):
            _skip(name)


def left_of(expected: set[str], found: set[str]) -> set[str]:
    """Return the expected set, in a clone with deleted features only what it has in common with `found`."""
    return expected & found if DELETED else expected


def needs(*features: str) -> None:
    """Skip the test in a clone without one of these features."""
    for name in features:
        if name in DELETED:
            _skip(name)


def _skip(name: str) -> NoReturn:
    pytest.skip(f"{name} was deleted")


def make_settings(values: dict[str, Any]) -> Settings:
    """Create settings; skip the test if a deleted feature had one of them."""
    if DELETED and not values.keys() <= Settings.model_fields.keys():
        pytest.skip("a setting was deleted with its feature")
    return Settings(**values)


class DeletedName:
    """Stands for a name of a deleted feature. Its use in a test skips the test."""

    def __init__(self, feature: str) -> None:
        self._feature = feature

    def __getattr__(self, name: str) -> DeletedName:
        if "PYTEST_CURRENT_TEST" in os.environ:
            _skip(self._feature)
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *_: Any, **__: Any) -> DeletedName:
        return self.called

    def __iter__(self) -> Iterator[DeletedName]:
        return iter(())


class DeletedFeatures(MetaPathFinder, Loader):
    """Finds modules of deleted features: they have every name."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, rest = name.partition(".")
        if package == "app" and rest.split(".")[0] in DELETED:
            return ModuleSpec(name, self, is_package=True)
        return None

    def exec_module(self, module: ModuleType) -> None:
        feature = module.__name__.split(".")[1]
        module.__getattr__ = lambda name: DeletedName(feature)  # type: ignore[method-assign]


def install() -> None:
    if DELETED:
        sys.meta_path.append(DeletedFeatures())
