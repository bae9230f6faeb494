"""Roles and who holds them; an administrator always remains."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session as DbSession

from app.errors import LastAdministrator, NotAllowed, RoleNotFound
from app.models import ADMINISTRATOR, Role, User, user_roles
from app.principal import Principal
from app.services.audit import AuditLog
from app.services.permissions import granted


@dataclass(frozen=True, kw_only=True)
class Roles:
    session: DbSession
    audit: AuditLog
    clock: Callable[[], datetime]

    def get(self, name: str) -> Role:
        role = self.session.scalar(select(Role).where(Role.name == name))
        if role is None:
            known = ", ".join(self.session.scalars(select(Role.name).order_by(Role.name)))
            raise RoleNotFound(f"There is no role {name!r}; there are {known}.")
        return role

    def list_all(self) -> list[Role]:
        return list(self.session.scalars(select(Role).order_by(Role.name)))

    def list_holders(self, name: str, *, limit: int = 100) -> list[User]:
        holders = (
            select(User).join(user_roles, user_roles.c.user_id == User.id).join(Role, Role.id == user_roles.c.role_id)
        )
        return list(self.session.scalars(holders.where(Role.name == name).limit(limit)))

    def give(self, user: User, name: str) -> None:
        """Assign the role; no change if `user` has it. Raises RoleNotFound."""
        role = self.get(name)
        if role not in user.roles:
            user.roles.append(role)
            user.updated_at = self.clock()
            self.session.flush()
            self.audit.record("role.assigned", subject_id=user.id, role=name)

    def grant(self, user: User, name: str, *, by: Principal) -> None:
        """`give` on behalf of somebody, who must hold its permissions. Raises RoleNotFound, NotAllowed."""
        if not granted(self.get(name).permissions) <= by.permissions:
            raise NotAllowed
        self.give(user, name)

    def set(self, user: User, names: Sequence[str], *, by: Principal) -> None:
        """Set the roles of `user` to exactly these, on behalf of somebody.

        Raises RoleNotFound, NotAllowed for a role that holds more than `by` does, LastAdministrator.
        """
        wanted = set(names)
        held = {role.name for role in user.roles}
        for name in sorted(wanted - held):
            self.grant(user, name, by=by)
        for name in sorted(held - wanted):
            if not granted(self.get(name).permissions) <= by.permissions:
                raise NotAllowed
            self.take(user, name)

    @staticmethod
    def permissions_of(user: User) -> frozenset[str]:
        """All permissions of the user's roles."""
        return frozenset().union(*(granted(role.permissions) for role in user.roles))

    def take(self, user: User, name: str) -> None:
        """Remove the role; no change if `user` does not have it. Raises RoleNotFound, LastAdministrator."""
        role = self.get(name)
        if role in user.roles:
            if name == ADMINISTRATOR:
                self.keep_one_administrator(losing=user)
            user.roles.remove(role)
            user.updated_at = self.clock()
            self.session.flush()
            self.audit.record("role.unassigned", subject_id=user.id, role=name)

    def keep_one_administrator(self, *, losing: User) -> None:
        """Raises LastAdministrator unless another user who can sign in is an administrator.

        The role's row is locked first, so that two who demote each other are checked one after the other. A plain
        conditional UPDATE would allow both on PostgreSQL.
        """
        role = self.session.scalar(select(Role).where(Role.name == ADMINISTRATOR).with_for_update())
        if role is None or not losing.can_sign_in() or role not in losing.roles:
            return
        others = self.session.scalar(
            select(func.count())
            .select_from(user_roles)
            .join(User, User.id == user_roles.c.user_id)
            .where(
                user_roles.c.role_id == role.id,
                User.id != losing.id,
                User.is_active,
                User.email_verified_at.is_not(None),
            )
        )
        if not others:
            raise LastAdministrator
