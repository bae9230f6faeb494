"""The folders of the application. A feature is deleted with its folder, its tests and its line in FEATURES."""

import re
from functools import cache
from importlib.util import find_spec

from werkzeug.utils import find_modules, import_string

from app.core.feature import Feature, Features
from app.core.lifetimes import Lifetimes

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


@cache
def load_features() -> Features:
    """Import all folders, and merge what they add. Raises ValueError for a name that two of them declare."""
    return Features(load_feature(name) for name in (*CORE, *FEATURES))


def load_feature(name: str) -> Feature:
    """Import the modules of a folder that register something, and return what else it adds."""
    for module in find_modules(f"app.{name}", include_packages=True):
        if REGISTERING.fullmatch(module.rpartition(".")[2]):
            import_string(module)
    feature: Feature = import_string(f"app.{name}.feature:feature")
    return feature


def find_settings() -> list[type[Lifetimes]]:
    """Return the classes of settings in `settings.py` of features."""
    modules = [f"app.{name}.settings" for name in FEATURES if find_spec(f"app.{name}.settings")]
    return [
        kind
        for module in modules
        for kind in vars(import_string(module)).values()
        if isinstance(kind, type) and issubclass(kind, Lifetimes) and kind.__module__ == module
    ]
