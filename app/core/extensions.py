"""Flask extensions, created unbound; the factory binds them to the application."""

from datetime import UTC, datetime
from typing import cast

from flask import current_app
from flask_limiter import Limiter
from flask_login import LoginManager
from flask_wtf import CSRFProtect

from app.core.database import db
from app.core.feature import Features
from app.settings import Settings

__all__ = ["csrf", "db", "features", "limiter", "login_manager", "now", "settings"]

login_manager = LoginManager()
csrf = CSRFProtect()
limiter = Limiter(key_func=lambda: "")  # Each rate limit names its own key.


def settings() -> Settings:
    """Return the running application's settings."""
    return cast(Settings, current_app.extensions["settings"])


def features() -> Features:
    """Return what the features of the running application add."""
    return cast(Features, current_app.extensions["features"])


def now() -> datetime:
    """Return the application's current time in UTC; tests set their own clock."""
    clock = current_app.extensions.get("clock")
    return clock() if clock else datetime.now(UTC)
