"""Invitations as promises of roles."""

from collections.abc import Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.principal import Actor
from app.core.service import Services
from app.invitations.models import Invitation
from app.invitations.service import Invitations
from app.users.models import User
from app.users.promises import Promises


def _is_open(services: Services, user_id: int) -> bool:
    return services[Invitations].find_open(user_id) is not None


def _keep(services: Services, user: User) -> Sequence[str]:
    return services[Invitations].keep(user)


def _list_roles(session: Session, user_id: int) -> Sequence[str]:
    return session.scalar(select(Invitation.roles).where(Invitation.user_id == user_id)) or []


def _promise_all(services: Services, roles: Mapping[int, Sequence[str]], by: Actor) -> None:
    services[Invitations].invite_all(roles, by=by)


PROMISES = Promises(is_open=_is_open, keep=_keep, list_roles=_list_roles, promise_all=_promise_all)
