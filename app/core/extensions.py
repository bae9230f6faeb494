"""Flask extensions, created unbound; the factory binds them to the application."""

from datetime import UTC, datetime
from typing import TypeVar, cast

from flask import current_app
from flask_limiter import Limiter
from flask_login import LoginManager
from flask_wtf import CSRFProtect

from app.core.database import db
from app.core.feature import Features
from app.core.settings import CoreSettings

__all__ = ["csrf", "db", "features", "limiter", "login_manager", "now", "settings", "settings_of"]

S = TypeVar("S")

login_manager = LoginManager()
csrf = CSRFProtect()
limiter = Limiter(key_func=lambda: "")  # Each rate limit names its own key.


def settings() -> CoreSettings:
    """Return the running application's settings."""
    return settings_of(CoreSettings)


def settings_of(kind: type[S]) -> S:
    """Return the running application's settings, typed as those of a feature."""
    return cast(S, current_app.extensions["settings"])


def features() -> Features:
    """Return what the features of the running application add."""
    return cast(Features, current_app.extensions["features"])


def now() -> datetime:
    """Return the application's current time in UTC; tests set their own clock."""
    clock = current_app.extensions.get("clock")
    return clock() if clock else datetime.now(UTC)
