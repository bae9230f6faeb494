"""What features have promised to users who have yet to confirm their address."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.core.principal import Actor
from app.core.service import Services
from app.users.models import User


@dataclass(frozen=True, kw_only=True)
class Promises:
    """Promises of one kind, such as invitations with roles.

    `is_open` returns whether the user can confirm their address even if sign-up is not open. `keep` is called when they
    have: it ends the promise and returns the roles to assign. `list_roles` returns the promised roles, by which a
    pending account ranks. `promise_all` makes new ones: roles by user ID, without a check of the actor's permissions.
    """

    is_open: Callable[[Services, int], bool]
    keep: Callable[[Services, User], Sequence[str]]
    list_roles: Callable[[Session, int], Sequence[str]]
    promise_all: Callable[[Services, Mapping[int, Sequence[str]], Actor], None]
