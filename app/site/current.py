"""The site's settings and look: from the environment, and as administrators store them.

Each process reads them once a second; services read the settings every time.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar, cast

from flask import current_app, g
from sqlalchemy.exc import ProgrammingError

from app.core.database import DATABASE_AWAY
from app.core.extensions import db, settings
from app.site.service import Brand, Site, SiteSettings
from app.unit_of_work import Work, reading, unit_of_work

KEPT_SECONDS = 1.0
# The setting of the environment that wins over each field of Brand.
SETTINGS = {"name": "site_name", "accent_color": "accent_color", "support_email": "support_email"}
T = TypeVar("T")


def site() -> Site:
    """Return the site settings, the same for the whole request; defaults without a database or before its migration."""
    if "site" not in g:
        g.site = _read("site", reading()[SiteSettings].get, otherwise=Site())
    return cast(Site, g.site)


def brand() -> Brand:
    """Return how the site looks: what the environment sets, else what administrators store, else the defaults.

    Where the database can't be read, as on an error page, return the last value.
    """
    if g.get("asks_nothing"):
        _, cached = current_app.extensions.get("brand", (0.0, None))
        return cached or _effective(Brand())
    return _read("brand", lambda: _effective(reading()[SiteSettings].get_brand()), otherwise=_effective(Brand()))


def is_in_environment(name: str) -> bool:
    """Return whether the environment sets this field of Settings, like `site_name`."""
    return name in settings().model_fields_set


def change_site(change: Callable[[Work], object]) -> None:
    """Change the site settings, and show the change to this process at once."""
    with unit_of_work() as work:
        change(work)
    for name in ("site", "brand"):
        current_app.extensions.pop(name, None)
    g.pop("site", None)


def _effective(stored: Brand) -> Brand:
    values: dict[str, Any] = {}
    for name, setting in SETTINGS.items():
        value = getattr(settings(), setting)
        values[name] = value if is_in_environment(setting) else getattr(stored, name) or value
    return replace(stored, **values)


def _read(name: str, read: Callable[[], T], *, otherwise: T) -> T:
    """Return a value at most KEPT_SECONDS old, or `otherwise` if the database can't be read."""
    read_at, value = current_app.extensions.get(name, (0.0, None))
    if value is None or time.monotonic() - read_at >= KEPT_SECONDS:
        try:
            value = read()
        except (*DATABASE_AWAY, ProgrammingError):
            db.session.rollback()
            return otherwise
        current_app.extensions[name] = (time.monotonic(), value)
    return cast(T, value)
