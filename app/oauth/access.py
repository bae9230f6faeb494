"""Connected accounts as ways into an account."""

from collections.abc import Iterable
from datetime import datetime

from app.auth.access import AccessKind, Words
from app.auth.models import Target
from app.core.service import Services
from app.oauth.service import Connections


def _undo(services: Services, user_id: int, connection_id: int) -> None:
    services[Connections].undo(user_id, connection_id)


def _remove_added_since(services: Services, user_id: int, at: datetime) -> None:
    services[Connections].remove_added_since(user_id, at)


def _list_ways_in(services: Services, user_id: int) -> Iterable[tuple[str, datetime]]:
    for connection in services[Connections].list_of(user_id):
        yield connection.provider, connection.created_at


def _list_with_address(services: Services, user_id: int) -> Iterable[int]:
    return services[Connections].list_with_address(user_id)


def _find_address(services: Services, connection_id: int) -> tuple[str, datetime] | None:
    return services[Connections].find_address(connection_id)


ACCESS = AccessKind(
    target=Target.CONNECTION,
    words=Words("Connected account", "A connected account", "Disconnect account", "Account disconnected."),
    undo=_undo,
    remove_added_since=_remove_added_since,
    list_ways_in=_list_ways_in,
    list_with_address=_list_with_address,
    find_address=_find_address,
)
