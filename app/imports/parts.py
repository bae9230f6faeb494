"""The button to export users."""

from typing import Any

from app.core.principal import Principal
from app.imports.permissions import USERS_EXPORT
from app.unit_of_work import Work
from app.users.views import list_url


def load_export(_: Work, who: Principal, query: dict[str, str]) -> dict[str, Any] | None:
    return {"url": list_url(query, to="users.export")} if who.has(USERS_EXPORT) else None
