"""The gate that closes the site in maintenance mode."""

from flask import Response

from app.core.principal import Principal
from app.site.current import site
from app.users.permissions import SITE_EDIT
from app.web.current_user import principal
from app.web.errors import answer
from app.web.views import view_property

BACK_AFTER_SECONDS = "120"


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
