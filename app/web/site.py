"""What administrators change while the site runs, for pages and for the gate that maintenance closes."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import Response, g
from sqlalchemy.exc import ProgrammingError

from app.cache import cache
from app.extensions import DATABASE_AWAY, db
from app.principal import Principal
from app.services.permissions import SITE_EDIT
from app.services.site import Site
from app.unit_of_work import reading, unit_of_work
from app.web.errors import answer
from app.web.identity import principal
from app.web.views import view_property

KEPT_SECONDS = 10
BACK_AFTER_SECONDS = "120"


def site() -> Site:
    """As it is, or was a moment ago: for what is shown, as services read the row.

    Defaults without a database, or before its migration.
    """
    if "site" not in g:
        try:
            g.site = _site(cache.read("site", _read, seconds=KEPT_SECONDS))
        except (*DATABASE_AWAY, ProgrammingError):
            db.session.rollback()
            return Site()
    found: Site = g.site
    return found


def _site(kept: Any) -> Site:
    try:
        return Site(**kept)
    except TypeError:  # Another release wrote it.
        return reading().site_settings.get()


def change_site(**values: Any) -> Site:
    """Change these fields, and write them through to the cache. `values` as in `SiteSettings.change`."""
    with unit_of_work() as work:
        changed = work.site_settings.change(**values)
    cache.write("site", changed.version, asdict(changed), seconds=KEPT_SECONDS)
    g.pop("site", None)
    return changed


def _read() -> tuple[int, dict[str, Any]]:
    found = reading().site_settings.get()
    return found.version, asdict(found)


def close_for_maintenance() -> Response | None:
    """503 for everybody but administrators while maintenance is on, where the view is not `@open_in_maintenance`."""
    if view_property("is_open_in_maintenance") or not site().maintenance or _may_stay(principal()):
        return None
    closed = answer(
        503,
        heading="Back in a few minutes",
        text="We are working on the site. Nothing of yours is lost.",
        code="maintenance",
    )
    closed.headers["Retry-After"] = BACK_AFTER_SECONDS
    return closed


def _may_stay(who: Principal | None) -> bool:
    return who is not None and who.has(SITE_EDIT)
