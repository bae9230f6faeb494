"""The time zone of the user who reads the page."""

from datetime import tzinfo
from typing import cast

from flask import g, request

from app.core.extensions import settings
from app.users.time_zones import zone_named, zone_names
from app.web.current_user import principal


def viewer_zone() -> tzinfo:
    """Return the time zone of the signed-in user (of the impersonator during impersonation), or else of the site."""
    if g.get("zone") is None:
        who = None if g.get("asks_nothing") else principal()
        g.zone = zone_named(who.time_zone if who else None)
    return cast(tzinfo, g.zone)


def zone_cookie_name() -> str:
    """Return the name of the cookie in which a script tells the browser's time zone before the user signs in."""
    return settings().cookie_name("time-zone")


def browser_zone() -> str | None:
    """Return the time zone that the browser told, if it is a known one."""
    name = request.cookies.get(zone_cookie_name(), "")
    return name if name and name in zone_names() else None
