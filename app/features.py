"""The folders of the application. A feature is deleted with its folder, its tests and its line in FEATURES."""

import re
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec

from werkzeug.utils import find_modules, import_string

from app.core.feature import Feature, Features
from app.core.lifetimes import Lifetimes
from app.core.settings import SettingsError
from app.users.permissions import forget_permissions

CORE = (
    "account",
    "admin",
    "api",
    "audit",
    "auth",
    "files",
    "home",
    "jobs",
    "mail",
    "ops",
    "site",
    "statistics",
    "users",
)
FEATURES = (
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
)
# Modules that register something when they are imported. All others load on first use, most of them by a command.
REGISTERING = re.compile(r"(\w+_)?(api|emails|handlers|models|views)")
# The tables of a disabled feature stay: their rows are exported, erased and expire.
TABLES = re.compile("models")


def load_features(disabled: Iterable[str] = ()) -> Features:
    """Import all folders, and merge what they add. All applications of a process have the same features.

    Raises ValueError for a name that two of them declare, SettingsError for an unknown one in `disabled`.
    """
    return _load(frozenset(disabled))


@cache
def _load(disabled: frozenset[str]) -> Features:
    if unknown := sorted(disabled - {*FEATURES}):
        raise SettingsError(
            f"DISABLED_FEATURES: {', '.join(unknown)} can't be disabled. Choose from {', '.join(FEATURES)}."
        )
    if _load.cache_info().currsize:
        raise RuntimeError("this process has loaded other features")
    return Features(load_feature(name, is_on=name not in disabled) for name in (*CORE, *FEATURES))


def load_feature(name: str, *, is_on: bool = True) -> Feature:
    """Import the modules of a folder that register something, and return what else it adds."""
    for module in find_modules(f"app.{name}", include_packages=True):
        if (REGISTERING if is_on else TABLES).fullmatch(module.rpartition(".")[2]):
            import_string(module)
    feature: Feature = import_string(f"app.{name}.feature:feature")
    if is_on:
        return feature
    if find_spec(f"app.{name}.permissions"):
        declared = vars(import_string(f"app.{name}.permissions")).values()
        forget_permissions(value for value in declared if isinstance(value, str))
    return feature.turned_off()


def find_settings() -> list[type[Lifetimes]]:
    """Return the classes of settings in `settings.py` of features."""
    modules = [f"app.{name}.settings" for name in FEATURES if find_spec(f"app.{name}.settings")]
    return [
        kind
        for module in modules
        for kind in vars(import_string(module)).values()
        if isinstance(kind, type) and issubclass(kind, Lifetimes) and kind.__module__ == module
    ]
