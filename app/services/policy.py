"""Who may do what with which resource: by permission, by ownership, by rank, or by a grant on that resource alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from sqlalchemy import ColumnElement, Select, delete, select
from sqlalchemy.orm import Session as DbSession

from app.errors import NotAllowed, NotFound
from app.models import Base, Grant, User
from app.principal import Actor, Operator
from app.services.audit import AuditLog
from app.services.permissions import OF_OWNERS, PERMISSIONS, USERS_READ, granted, permissions_of
from app.services.statements import affected, insert_once


class Rule(StrEnum):
    ACCOUNT = "account"
    PERMISSION = "permission"
    OWNERSHIP = "ownership"
    RANK = "rank"
    GRANT = "grant"


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether it is allowed, the rule that decided, and the reason as a sentence."""

    allowed: bool
    rule: Rule
    reason: str

    def __bool__(self) -> bool:
        return self.allowed


class Holder(Protocol):
    """Whoever acts: a `Principal`, or an account that is asked about."""

    @property
    def user_id(self) -> int: ...
    @property
    def permissions(self) -> frozenset[str]: ...
    @property
    def via(self) -> str: ...


class Resource(Protocol):
    """A row with an owner; its table's name is its type."""

    @property
    def id(self) -> int: ...
    @property
    def owner_id(self) -> int | None: ...
    @property
    def __tablename__(self) -> str: ...


@dataclass(frozen=True, slots=True)
class _Account:
    user_id: int
    permissions: frozenset[str]
    via: str = "cookie"


@dataclass(frozen=True, kw_only=True)
class Policy:
    session: DbSession
    audit: AuditLog
    clock: Callable[[], datetime]

    def may(self, who: Holder, action: str, resource: Resource | None = None) -> Decision:
        """`action` is a permission. Raises ValueError for one that is not declared."""
        if action not in PERMISSIONS:
            raise ValueError(f"the permission {action} is not declared")
        if resource is not None and resource.owner_id == who.user_id and action in OF_OWNERS:
            return Decision(True, Rule.OWNERSHIP, "Everybody may do this with what is their own.")
        decision = self._by_permission(who, action, resource)
        if decision and isinstance(resource, User) and resource.id != who.user_id and action != USERS_READ:
            return _by_rank(who, permissions_of(resource.roles), otherwise=decision)
        return decision

    def check(self, who: Actor, action: str, resource: Resource | None = None) -> None:
        """Raises NotAllowed."""
        if isinstance(who, Operator):
            return
        decision = self.may(who, action, resource)
        if not decision:
            raise NotAllowed(decision.reason if decision.rule is Rule.RANK else None, permission=action)

    def why(self, user: User, action: str, resource: Resource | None = None) -> Decision:
        """What `may` would say if `user` were signed in, with the roles that decide. Raises ValueError as it does."""
        decision = self.may(_Account(user.id, permissions_of(user.roles)), action, resource)
        if not user.can_sign_in():
            return Decision(False, Rule.ACCOUNT, f"The account is {user.status}, so it may do nothing.")
        if decision and decision.rule is Rule.PERMISSION:
            names = [role.name for role in user.roles if action in granted(role.permissions)]
            return Decision(True, Rule.PERMISSION, f"Held through: {', '.join(names)}.")
        return decision

    @staticmethod
    def check_operator(who: Actor) -> None:
        """For what is done on the server only, by no page and no API. Raises NotAllowed."""
        if not isinstance(who, Operator):
            raise NotAllowed

    @staticmethod
    def check_rank(who: Actor, held: frozenset[str]) -> None:
        """Nobody gives or changes more than they hold. Raises NotAllowed."""
        if not isinstance(who, Operator) and held - who.permissions:
            raise NotAllowed(_beyond(who, held))

    def _by_permission(self, who: Holder, action: str, resource: Resource | None) -> Decision:
        if action in who.permissions:
            return Decision(True, Rule.PERMISSION, f"The permission {action} is held.")
        # An API key does what its scopes say and nothing else.
        if resource is not None and who.via != "api_key" and self._is_granted(who.user_id, action, resource):
            return Decision(True, Rule.GRANT, "The permission was granted on this one.")
        return Decision(False, Rule.PERMISSION, f"The permission {action} is not held.")

    # ── grants ──

    def grant(self, user_id: int, action: str, resource: Resource, *, by: Actor) -> None:
        """Let `user_id` do `action` with this resource; no change if granted. Raises NotAllowed.

        `by` must be allowed it through a permission or as the owner: what was granted is not passed on.
        """
        self._check_granting(by, action, resource)
        row = insert_once(self.session, Grant).values(
            user_id=user_id,
            resource_type=resource.__tablename__,
            resource_id=resource.id,
            permission=action,
            created_at=self.clock(),
        )
        if self.session.execute(row.on_conflict_do_nothing().returning(Grant.id)).scalar() is not None:
            self.audit.record("grant.given", subject_id=user_id, permission=action, resource=spelt(resource))

    def revoke(self, user_id: int, action: str, resource: Resource, *, by: Actor) -> None:
        """Take a grant away; no change if there is none. Raises NotAllowed."""
        self._check_granting(by, action, resource)
        if affected(self.session, delete(Grant).where(*_this(resource), Grant.user_id == user_id, _of(action))):
            self.audit.record("grant.taken", subject_id=user_id, permission=action, resource=spelt(resource))

    def list_grants_on(self, resource: Resource) -> Sequence[Grant]:
        return self.session.scalars(select(Grant).where(*_this(resource)).order_by(Grant.id)).all()

    def list_grants_of(self, user_id: int, *, limit: int = 50) -> Sequence[Grant]:
        """The newest first."""
        of_user = select(Grant).where(Grant.user_id == user_id)
        return self.session.scalars(of_user.order_by(Grant.id.desc()).limit(limit)).all()

    def forget(self, resource: Resource) -> None:
        """Delete all grants on a resource that is about to be deleted."""
        self.session.execute(delete(Grant).where(*_this(resource)))

    def get_resource(self, spelling: str) -> Resource:
        """The resource of a type and an id, `users:42`. Raises NotFound."""
        kind, _, number = spelling.partition(":")
        types = [mapper.class_ for mapper in Base.registry.mappers if hasattr(mapper.class_, "owner_id")]
        known = {each.__tablename__: each for each in types}
        if kind not in known or not number.isascii() or not number.isdigit() or len(number) > 18:
            kinds = ", ".join(f"{name}:ID" for name in sorted(known))
            raise NotFound(f"A resource is spelt {kinds}; {spelling[:80]!r} is none.")
        resource: Resource | None = self.session.get(known[kind], int(number))
        if resource is None:
            raise NotFound(f"There is no {kind}:{number}.")
        return resource

    def _is_granted(self, user_id: int, action: str, resource: Resource) -> bool:
        mine = select(Grant.id).where(*_this(resource), Grant.user_id == user_id, _of(action))
        return self.session.scalar(mine) is not None

    def _check_granting(self, by: Actor, action: str, resource: Resource) -> None:
        if isinstance(by, Operator):
            return
        decision = self.may(by, action, resource)
        if not decision or decision.rule is Rule.GRANT:
            raise NotAllowed(permission=action)


def granted_ids(user_id: int, action: str, kind: type[Base]) -> Select[int]:
    """The ids of the rows of `kind` on which `action` was granted to `user_id`, for the lists of a feature."""
    of_kind = (Grant.user_id == user_id, Grant.resource_type == kind.__tablename__)
    return select(Grant.resource_id).where(*of_kind, _of(action))


def _by_rank(who: Holder, held: frozenset[str], *, otherwise: Decision) -> Decision:
    return Decision(False, Rule.RANK, _beyond(who, held)) if held - who.permissions else otherwise


def _beyond(who: Holder, held: frozenset[str]) -> str:
    return f"This takes somebody who holds {', '.join(sorted(held - who.permissions))} too."


def _this(resource: Resource) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return Grant.resource_type == resource.__tablename__, Grant.resource_id == resource.id


def _of(action: str) -> ColumnElement[bool]:
    return Grant.permission == action


def spelt(resource: Resource) -> str:
    return f"{resource.__tablename__}:{resource.id}"
