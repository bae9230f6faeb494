"""The first page of administration: what needs attention, today's numbers, and the state of the site."""

from types import SimpleNamespace

from flask.typing import ResponseReturnValue

from app.admin import bp
from app.core import errors
from app.core.extensions import db, features, settings
from app.core.migration_state import schema_state
from app.jobs.notifier import notifier
from app.statistics.service import Statistics
from app.unit_of_work import Work, reading
from app.users.permissions import (
    SITE_EDIT,
    USERS_READ,
)
from app.web import current_user
from app.web.navigation import admin_pages
from app.web.pages import page
from app.web.parts import OVERVIEW, load_parts


@bp.get("")
def overview() -> ResponseReturnValue:
    """Show what the user's permissions allow; refused to users who can open no page of administration."""
    who, services = current_user.signed_in(), reading()
    if not admin_pages():
        raise errors.NotAllowed
    return page(
        "admin/overview.html",
        notices=[
            notice for source in features().notices if who.has(source.permission) for notice in source.find(services)
        ],
        parts_shown=load_parts(OVERVIEW, services, who),
        users=services.user_search.total() if who.has(USERS_READ) else None,
        system=_system(services) if who.has(SITE_EDIT) else None,
    )


def _system(services: Work) -> SimpleNamespace:
    version = ".".join(map(str, db.engine.dialect.server_version_info or ()))
    names = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
    return SimpleNamespace(
        release=settings().release,
        database=f"{names[db.engine.dialect.name]} {version}",
        migrations=schema_state()[1],
        queue=notifier.state(),
        backup_at=services[Statistics].last_backup(),
    )
