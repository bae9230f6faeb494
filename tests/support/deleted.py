"""Tests of several features: in a clone that deleted one of them, a test that uses it is skipped."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NoReturn

import pytest

from app.features import FEATURES

# What this release comes with.
ALL = {
    "api_keys",
    "demo",
    "factor_resets",
    "forward_auth",
    "impersonation",
    "imports",
    "invitations",
    "oauth",
    "own_data",
    "passkeys",
    "reports",
    "site_settings",
    "totp",
}
DELETED = ALL - {*FEATURES}


def needs(*features: str) -> None:
    """Skip the test in a clone without one of these features."""
    for name in features:
        if name in DELETED:
            _skip(name)


def _skip(name: str) -> NoReturn:
    pytest.skip(f"{name} was deleted")


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
