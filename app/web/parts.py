"""Parts that features add to pages of other folders."""

from collections.abc import Callable
from typing import Any, NamedTuple

from app.core.extensions import features
from app.core.principal import Principal
from app.unit_of_work import Work

# On every page of a signed-in user; on the first page of administration.
BANNER, OVERVIEW = "banner", "overview"
# Buttons on the list of users; they also get the query of the list.
USERS_ACT = "users.act"
USER_NOTICE, USER_ACT, USER_SECTION = "user.notice", "user.act", "user.section"
SECURITY_NOTICE, SECURITY_SECTION = "security.notice", "security.section"
# Loaded without a signed-in user (None), except for the last.
SIGN_IN, SIGN_UP, CONFIRM_WITHOUT_PASSWORD = "sign_in", "sign_up", "confirm_without_password"
# Buttons that prove who a user is, on several pages; they also get a ProofRequest.
PROOF = "proof"


class Part(NamedTuple):
    """A part of a page: where it stands, its template, and the function that returns its `values`, or None to leave it
    out.

    The function gets services for reading and the signed-in user; parts of `/users/<id>` also the shown user. `place`
    orders parts of one slot.
    """

    slot: str
    template: str
    load: Callable[..., dict[str, Any] | None]
    place: int


class ShownPart(NamedTuple):
    template: str
    values: dict[str, Any]


def load_parts(slot: str, services: Work, who: Principal | None, *about: object) -> list[ShownPart]:
    """Return what features show in this slot."""
    loaded = [(part.template, part.load(services, who, *about)) for part in features().parts.get(slot, ())]
    return [ShownPart(template, values) for template, values in loaded if values is not None]
