"""Ways into an account that features add: what recovery undoes and revokes, and credentials of requests."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple, Self

from sqlalchemy.orm import InstrumentedAttribute

from app.auth.models import Target
from app.auth.services.principals import Expired, Found
from app.core.lookups import Source
from app.core.service import Services


def _nothing(_services: Services, _user_id: int, _value: Any) -> None:
    pass


def _no_ways(_services: Services, _user_id: int) -> Iterable[tuple[str, datetime]]:
    return ()


def _no_addresses(_services: Services, _user_id: int) -> Iterable[int]:
    return ()


def _no_address(_services: Services, _target_id: int) -> tuple[str, datetime] | None:
    return None


class Words(NamedTuple):
    """Names of a way into an account ("Passkey", "A passkey"), heading of the page that undoes it, and what that page
    says afterwards.
    """

    name: str
    one: str
    undo: str
    undone: str


@dataclass(frozen=True, kw_only=True)
class AccessKind:
    """A way into accounts: API keys, connected accounts.

    The functions get services and a user's ID. `undo` removes the one with an ID, for the link that names `target`.
    `revoke_all` gets the reason, and ends all of them when an account is recovered. `remove_added_since` removes those
    added at or after a time. `list_ways_in` returns name and time of each that replaces the password.
    `list_with_address` returns the IDs of those with an email address of the owner, and `find_address` the address of
    one, and since when it is known.
    """

    target: Target
    words: Words
    undo: Callable[[Services, int, int], None]
    revoke_all: Callable[[Services, int, str], None] = _nothing
    remove_added_since: Callable[[Services, int, datetime], None] = _nothing
    list_ways_in: Callable[[Services, int], Iterable[tuple[str, datetime]]] = _no_ways
    list_with_address: Callable[[Services, int], Iterable[int]] = _no_addresses
    find_address: Callable[[Services, int], tuple[str, datetime] | None] = _no_address

    def without_ways_in(self) -> Self:
        """Return what still revokes and undoes, for a feature that is off."""
        return replace(self, list_ways_in=_no_ways)


@dataclass(frozen=True, kw_only=True)
class CredentialKind:
    """A credential for `Authorization: Bearer` that begins with `prefix`; access tokens are of the core.

    `kind` names it in logs, `shown_part` is what a log may contain. `find` returns its principal. `expire` ends the
    row with this ID. `last_used` is the column for the time of its last use.
    """

    kind: str
    prefix: str
    is_valid: Callable[[str], bool]
    shown_part: Callable[[str], str]
    find: Callable[[Source, str, datetime], Found | Expired | None]
    expire: Callable[[Services, int], None]
    last_used: InstrumentedAttribute[datetime | None]
