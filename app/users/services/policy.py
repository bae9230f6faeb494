"""Access decisions: by permission, ownership, rank, or a grant on one resource."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Protocol

from sqlalchemy import ColumnElement, Select, delete, false, select

from app.audit.services.log import AuditLog
from app.auth.models import RECOVERY, Authenticator
from app.core import errors
from app.core.dialects import rowcount, upsert
from app.core.lifetimes import Lifetimes
from app.core.models import Base
from app.core.principal import Actor, Operator, Principal
from app.core.service import Service
from app.users.models import MEMBER, Grant, Role, User
from app.users.permissions import (
    OF_OWNERS,
    PERMISSIONS,
    ROLES_ASSIGN,
    USERS_READ,
    account_scope,
    granted,
    permissions_of,
)
from app.users.promises import Promises


class Rule(StrEnum):
    ACCOUNT = "account"
    PERMISSION = "permission"
    OWNERSHIP = "ownership"
    RANK = "rank"
    GRANT = "grant"


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision: allowed or not, the rule that decided, and the reason as a sentence."""

    allowed: bool
    rule: Rule
    reason: str

    def __bool__(self) -> bool:
        return self.allowed


class Holder(Protocol):
    """An actor (`Principal`), or a user whose access is checked."""

    @property
    def user_id(self) -> int: ...
    @property
    def permissions(self) -> frozenset[str]: ...
    @property
    def is_key(self) -> bool: ...
    @property
    def uses_grants(self) -> bool: ...


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
    is_key: bool = False
    uses_grants: bool = True


class Policy(Service):
    audit: AuditLog
    lifetimes: Lifetimes
    promises: Sequence[Promises]

    def may(self, who: Holder, action: str, resource: Resource | None = None) -> Decision:
        """Return whether `who` has the permission `action`. Raises ValueError for an undeclared one."""
        if action not in PERMISSIONS:
            raise ValueError(f"the permission {action} is not declared")
        if resource is not None and _is_owner(who, action, resource):
            return Decision(True, Rule.OWNERSHIP, "Allowed for your own account.")
        decision = self._by_permission(who, action, resource)
        if decision and isinstance(resource, User) and resource.id != who.user_id and action != USERS_READ:
            return _by_rank(who, self._held_by(resource), otherwise=decision)
        return decision

    def check(self, who: Actor, action: str, resource: Resource | None = None) -> None:
        """Raises NotAllowed."""
        if isinstance(who, Operator):
            return
        decision = self.may(who, action, resource)
        if not decision:
            raise errors.NotAllowed(decision.reason if decision.rule is Rule.RANK else None, permission=action)

    def why(self, user: User, action: str, resource: Resource | None = None) -> Decision:
        """Return the decision that `may` would make if `user` were signed in, with the roles that decide."""
        decision = self.may(_Account(user.id, permissions_of(user.roles)), action, resource)
        if not user.can_sign_in():
            return Decision(False, Rule.ACCOUNT, f"The account is {user.status}, so it may do nothing.")
        if any(role.requires_second_factor for role in user.roles) and not self._has_factor(user.id):
            return Decision(False, Rule.ACCOUNT, "A role requires a second factor, which is not set up.")
        if decision and decision.rule is Rule.PERMISSION:
            names = [role.name for role in user.roles if action in granted(role.permissions)]
            return Decision(True, Rule.PERMISSION, f"Held through: {', '.join(names)}.")
        return decision

    def _has_factor(self, user_id: int) -> bool:
        factors = select(Authenticator.id).where(
            Authenticator.user_id == user_id,
            Authenticator.confirmed_at.is_not(None),
            Authenticator.kind != RECOVERY,
        )
        return self.session.scalar(factors.limit(1)) is not None

    @staticmethod
    def check_operator(who: Actor) -> None:
        """Allow only the operator: no page and no API. Raises NotAllowed."""
        if not isinstance(who, Operator):
            raise errors.NotAllowed

    @staticmethod
    def check_rank(who: Actor, held: frozenset[str], *, action: str) -> None:
        """Refuse to assign or change more than the actor has. `action` is the permission that is used. Raises
        NotAllowed.
        """
        if not isinstance(who, Operator) and held - who.permissions:
            raise errors.NotAllowed(_beyond(who, held), permission=action)

    # ── roles ──

    def check_assigning(self, who: Actor, role: Role) -> None:
        """Check that `who` can assign or remove this role. Raises NotAllowed, ConfirmationRequired.

        Every role except the default one requires a confirmed session.
        """
        self.check_rank(who, granted(role.permissions), action=ROLES_ASSIGN)
        if role.administrators_only:
            self.check_administrator(who)
        if role.name != MEMBER:
            self.check_confirmed(who)

    def may_give(self, who: Holder, role: Role) -> bool:
        """Return whether `who` can assign this role, once confirmed."""
        is_free = not role.administrators_only or _has_everything(who)
        return is_free and granted(role.permissions) <= who.permissions

    def may_keep_promise(self, inviter: User | None, role: Role) -> bool:
        """Return whether the inviter can still assign the role."""
        if inviter is None or not inviter.can_sign_in():
            return False
        return self.may_give(_Account(inviter.id, permissions_of(inviter.roles)), role)

    @staticmethod
    def check_administrator(who: Actor) -> None:
        """Raises NotAllowed for anybody who does not hold every permission."""
        if not isinstance(who, Operator) and not _has_everything(who):
            raise errors.NotAllowed("Only administrators can assign or change this role.", permission=ROLES_ASSIGN)

    # ── confirmations ──

    def check_confirmed(self, who: Actor) -> None:
        """Raises ConfirmationRequired."""
        if isinstance(who, Operator) or self.is_confirmed(who):
            return
        raise errors.ConfirmationRequired(errors.ConfirmationRequired.not_for_keys if who.is_key else None)

    def is_confirmed(self, who: Principal) -> bool:
        """Return whether `who` has recently confirmed their identity. An API key and an impersonator never have."""
        if who.is_key or who.impersonator_id is not None:
            return False
        return self.clock() - who.confirmed_at < timedelta(minutes=self.lifetimes.confirmation_minutes)

    def _held_by(self, user: User) -> frozenset[str]:
        """Return the permissions of a user's roles, and of the invited roles before the invitation is accepted."""
        held = permissions_of(user.roles)
        if user.is_verified():
            return held
        promised = [role for promises in self.promises for role in promises.list_roles(self.session, user.id)]
        if not promised:
            return held
        return held | permissions_of(self.session.scalars(select(Role).where(Role.name.in_(promised))))

    def _by_permission(self, who: Holder, action: str, resource: Resource | None) -> Decision:
        if action in who.permissions:
            return Decision(True, Rule.PERMISSION, f"The permission {action} is held.")
        if resource is not None and who.uses_grants and self._is_granted(who.user_id, action, resource):
            return Decision(True, Rule.GRANT, "Granted on this resource.")
        return Decision(False, Rule.PERMISSION, f"The permission {action} is not held.")

    # ── grants ──

    def grant(self, user_id: int, action: str, resource: Resource, *, by: Actor) -> None:
        """Grant `user_id` a permission on this resource; no change if granted. Raises NotAllowed.

        `by` needs the permission as the owner, or through a role and a confirmed session: grants can't be passed on.
        Raises ConfirmationRequired.
        """
        self._check_granting(by, action, resource)
        row = upsert(self.session, Grant).values(
            user_id=user_id,
            resource_type=resource.__tablename__,
            resource_id=resource.id,
            permission=action,
            created_at=self.clock(),
        )
        if self.session.execute(row.on_conflict_do_nothing().returning(Grant.id)).scalar() is not None:
            self.audit.record("grant.given", subject_id=user_id, permission=action, resource=resource_ref(resource))

    def revoke(self, user_id: int, action: str, resource: Resource, *, by: Actor) -> None:
        """Revoke a grant; no change if there is none. Raises NotAllowed."""
        self._check_granting(by, action, resource)
        if rowcount(self.session, delete(Grant).where(*_this(resource), Grant.user_id == user_id, _of(action))):
            self.audit.record("grant.taken", subject_id=user_id, permission=action, resource=resource_ref(resource))

    def list_grants_of(self, user_id: int, *, limit: int = 50) -> Sequence[Grant]:
        """Return the user's grants, newest first."""
        of_user = select(Grant).where(Grant.user_id == user_id)
        return self.session.scalars(of_user.order_by(Grant.id.desc()).limit(limit)).all()

    def forget(self, resource: Resource) -> None:
        """Delete all grants on a resource that is about to be deleted."""
        self.session.execute(delete(Grant).where(*_this(resource)))

    def get_resource(self, spelling: str) -> Resource:
        """Return the resource of a type and an ID, like `users:42`. Raises NotFound."""
        kind, _, number = spelling.partition(":")
        types = [mapper.class_ for mapper in Base.registry.mappers if hasattr(mapper.class_, "owner_id")]
        models = {model.__tablename__: model for model in types}
        if kind not in models or not number.isascii() or not number.isdigit() or len(number) > 18:
            kinds = ", ".join(f"{name}:ID" for name in sorted(models))
            raise errors.NotFound(f"Invalid resource {spelling[:80]!r}. Use {kinds}, for example users:42.")
        resource: Resource | None = self.session.get(models[kind], int(number))
        if resource is None:
            raise errors.NotFound(f"There is no {kind}:{number}.")
        return resource

    def _is_granted(self, user_id: int, action: str, resource: Resource) -> bool:
        """Return whether there is a grant. A grant on a user includes viewing the user."""
        mine = select(Grant.id).where(*_this(resource), Grant.user_id == user_id)
        is_reading = action == USERS_READ and isinstance(resource, User)
        return self.session.scalar((mine if is_reading else mine.where(_of(action))).limit(1)) is not None

    def _check_granting(self, by: Actor, action: str, resource: Resource) -> None:
        if isinstance(by, Operator):
            return
        decision = self.may(by, action, resource)
        if not decision or decision.rule is Rule.GRANT:
            raise errors.NotAllowed(permission=action)
        if decision.rule is not Rule.OWNERSHIP:
            self.check_confirmed(by)


def granted_ids(who: Holder, action: str, kind: type[Base]) -> Select[int]:
    """Return the IDs of rows of `kind` on which `who` has a grant for `action`, for a feature's lists."""
    of_kind = (Grant.user_id == who.user_id, Grant.resource_type == kind.__tablename__)
    query = select(Grant.resource_id).where(*of_kind, _of(action))
    return query if who.uses_grants else query.where(false())


def _is_owner(who: Holder, action: str, resource: Resource) -> bool:
    """Return whether ownership allows it. An API key needs the scope."""
    if resource.owner_id != who.user_id or action not in OF_OWNERS:
        return False
    return not who.is_key or account_scope(action) in who.permissions


def _has_everything(who: Holder) -> bool:
    return who.permissions >= PERMISSIONS.keys()


def _by_rank(who: Holder, held: frozenset[str], *, otherwise: Decision) -> Decision:
    return Decision(False, Rule.RANK, _beyond(who, held)) if held - who.permissions else otherwise


def _beyond(who: Holder, held: frozenset[str]) -> str:
    return f"You also need {', '.join(sorted(held - who.permissions))}."


def _this(resource: Resource) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return Grant.resource_type == resource.__tablename__, Grant.resource_id == resource.id


def _of(action: str) -> ColumnElement[bool]:
    return Grant.permission == action


def resource_ref(resource: Resource) -> str:
    return f"{resource.__tablename__}:{resource.id}"
