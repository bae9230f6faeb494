"""Times in the zone of the user who reads them."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, tzinfo
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from flask import g
from sqlalchemy.exc import ProgrammingError

from app.core.database import DATABASE_AWAY
from app.core.extensions import db, settings
from app.unit_of_work import reading


@cache
def zone_names() -> frozenset[str]:
    """Return the names of the IANA time zone database, like `Europe/Berlin`."""
    return frozenset(available_timezones())


def zone_of(user_id: int | None) -> tzinfo:
    """Return the time zone of a user; that of the site without a user or where the database can't be read."""
    if user_id is None or g.get("asks_nothing"):
        return settings().zone
    try:
        return zone_named(reading().profile.find_time_zone(user_id))
    except (*DATABASE_AWAY, ProgrammingError):  # Perhaps before its migration.
        db.session.rollback()
        return settings().zone


def zone_named(name: str | None) -> tzinfo:
    """Return a time zone, or that of the site for none, and for a name that this machine does not know."""
    try:
        return ZoneInfo(name) if name else settings().zone
    except (ZoneInfoNotFoundError, ValueError):
        return settings().zone


@contextmanager
def times_for(user_id: int | None) -> Iterator[None]:
    """Show times in the zone of this user, as in an email."""
    before, g.zone = g.get("zone"), zone_of(user_id)
    try:
        yield
    finally:
        g.zone = before


def local_time(at: datetime, zone: tzinfo) -> str:
    """Return a time like `12 Nov 2026, 14:05 CET`."""
    local = at.astimezone(zone)
    return f"{local.day} {local:%b %Y, %H:%M} {local.tzname()}"
