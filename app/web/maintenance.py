"""Site settings for pages, and the maintenance gate."""

from __future__ import annotations

import time
from typing import Any

from flask import Response, current_app, g
from sqlalchemy.exc import ProgrammingError

from app.database import DATABASE_AWAY
from app.extensions import db
from app.principal import Principal
from app.services.permissions import SITE_EDIT
from app.services.site_settings import Site
from app.unit_of_work import reading, unit_of_work
from app.web.current_user import principal
from app.web.errors import answer
from app.web.views import view_property

KEPT_SECONDS = 1.0
BACK_AFTER_SECONDS = "120"


def site() -> Site:
    """Return the site settings, read once a second by each process. Services read them every time.

    Defaults without a database, or before its migration.
    """
    if "site" not in g:
        read_at, known_site = current_app.extensions.get("site", (0.0, Site()))
        if time.monotonic() - read_at >= KEPT_SECONDS or not read_at:
            try:
                known_site = reading().site_settings.get()
            except (*DATABASE_AWAY, ProgrammingError):
                db.session.rollback()
                return Site()
            _keep(known_site)
        g.site = known_site
    stored: Site = g.site
    return stored


def _keep(site: Site) -> None:
    current_app.extensions["site"] = (time.monotonic(), site)


def change_site(**values: Any) -> Site:
    """Change these fields. `values` as in `SiteSettings.change`."""
    with unit_of_work() as work:
        changed = work.site_settings.change(**values)
    _keep(changed)
    g.pop("site", None)
    return changed


def close_for_maintenance() -> Response | None:
    """Respond with 503 to everyone but administrators in maintenance mode, except on views that are
    `@open_in_maintenance`.
    """
    if view_property("is_open_in_maintenance") or not site().maintenance or _may_stay(principal()):
        return None
    closed = answer(
        503,
        heading="Back in a few minutes",
        text="We're working on the site. Your data is safe.",
        code="maintenance",
    )
    closed.headers["Retry-After"] = BACK_AFTER_SECONDS
    return closed


def _may_stay(who: Principal | None) -> bool:
    return who is not None and who.has(SITE_EDIT)
