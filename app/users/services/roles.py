"""Roles and their users; one administrator always remains."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import undefer
from sqlalchemy.orm.attributes import set_committed_value

from app.audit.services.log import AuditLog
from app.core import errors
from app.core.addresses import clean_name
from app.core.dialects import rowcount, upsert
from app.core.lengths import MAX_DESCRIPTION_LENGTH, MAX_ROLE_NAME_LENGTH
from app.core.principal import Actor
from app.core.service import Service
from app.users.models import ADMINISTRATOR, Role, User, user_roles
from app.users.permissions import EVERYTHING, PERMISSIONS, ROLES_EDIT, granted
from app.users.services.policy import Policy

ROLE_NAME = rf"[a-z][a-z0-9_-]{{0,{MAX_ROLE_NAME_LENGTH - 1}}}"
MAX_COUNTED = 1000
WHOLE = undefer(Role.administrators_only)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleSpec:
    """The contents of a role."""

    name: str
    description: str = ""
    permissions: frozenset[str] = frozenset()
    requires_second_factor: bool = False
    administrators_only: bool = False


@dataclass(frozen=True, slots=True)
class RoleChange:
    """A change of a role as lines of text; `role` is None for a new one."""

    role: Role | None
    wanted: RoleSpec
    lines: tuple[str, ...]


class Roles(Service):
    """Roles. `by` is the actor, who can't assign, remove or change a role with more permissions than their own."""

    audit: AuditLog
    policy: Policy

    def get(self, name: str, *, keep: bool = False, lock: bool = False) -> Role:
        """Return a role, which can't be deleted (`keep`) or changed (`lock`) until the transaction ends. Raises
        RoleNotFound.
        """
        query = select(Role).where(Role.name == name)
        if keep or lock:
            query = query.with_for_update(read=keep, key_share=keep)
        role = self.session.scalar(query)
        if role is None:
            names = ", ".join(self.session.scalars(select(Role.name).order_by(Role.name)))
            raise errors.RoleNotFound(f"There is no role {name!r}; there are {names}.")
        return role

    def get_by_id(self, role_id: int, *, lock: bool = False) -> Role:
        """Return a role; with `lock` the row is locked until the transaction ends. Raises RoleNotFound."""
        query = select(Role).options(WHOLE).where(Role.id == role_id)
        if lock:
            query = query.with_for_update().execution_options(populate_existing=True)
        role = self.session.scalar(query)
        if role is None:
            raise errors.RoleNotFound
        return role

    def list_all(self) -> list[Role]:
        return list(self.session.scalars(select(Role).options(WHOLE).order_by(Role.name)))

    def list_after(self, role_id: int, *, limit: int) -> list[Role]:
        """Return roles with an ID above `role_id`, in order."""
        after = select(Role).options(WHOLE).where(Role.id > role_id)
        return list(self.session.scalars(after.order_by(Role.id).limit(limit)))

    def list_with_holders(self) -> list[tuple[Role, int]]:
        """Return each role with the number of its users, counted up to MAX_COUNTED + 1."""
        holders = select(user_roles.c.user_id).where(user_roles.c.role_id == Role.id).limit(MAX_COUNTED + 1)
        count = select(func.count()).select_from(holders.correlate(Role).subquery()).scalar_subquery()
        counted = select(Role, count).options(WHOLE).order_by(Role.name)
        return [(role, count) for role, count in self.session.execute(counted)]

    def list_holders(self, name: str, *, limit: int = 100) -> list[User]:
        holders = (
            select(User).join(user_roles, user_roles.c.user_id == User.id).join(Role, Role.id == user_roles.c.role_id)
        )
        of_role = holders.where(Role.name == name).order_by(user_roles.c.user_id.desc())
        return list(self.session.scalars(of_role.limit(limit)))

    # ── contents of a role ──

    def create(self, spec: RoleSpec, *, by: Actor) -> Role:
        """Raises InvalidRole, RoleTaken, NotAllowed."""
        spec = _checked(spec)
        self._check_changing(by, RoleSpec(name=spec.name), spec)
        role = Role(created_at=self.clock(), version=1)
        _fill(role, spec)
        self._store(role)
        lines = "; ".join(differences(RoleSpec(name=spec.name), spec))
        self.audit.record("role.made", subject_id=None, role=role.name, changes=lines or "no permissions")
        return role

    def change(self, role: Role, spec: RoleSpec, *, by: Actor) -> None:
        """Change a locked role. Raises InvalidRole, RoleTaken, RoleFixed, NotAllowed."""
        if role.keeps_its_name() and spec.name != role.name:
            raise errors.RoleFixed(f"The role {role.name} keeps its name: the application uses it.")
        spec, before = _checked(spec), spec_of(role)
        if not (lines := differences(before, spec)):
            return
        self._check_changing(by, before, spec)
        _fill(role, spec)
        role.version += 1
        self._store(role)
        self.audit.record("role.changed", subject_id=None, role=before.name, changes="; ".join(lines))

    def delete(self, role: Role, *, by: Actor) -> None:
        """Delete a role that was read with a lock, so that it can't be assigned at the same time. Raises RoleFixed,
        RoleInUse, NotAllowed.
        """
        if role.keeps_its_name():
            raise errors.RoleFixed(f"The role {role.name} cannot be deleted: the application uses it.")
        spec = spec_of(role)
        self._check_changing(by, spec, spec)
        if self.session.scalar(select(user_roles.c.user_id).where(user_roles.c.role_id == role.id).limit(1)):
            raise errors.RoleInUse
        self.session.delete(role)
        self.session.flush()
        self.audit.record("role.deleted", subject_id=None, role=role.name)

    def compare(self, specs: Sequence[RoleSpec]) -> list[RoleChange]:
        """Return the changes that lead to these roles; others stay. Raises InvalidRole, RoleFixed."""
        there = {role.name: role for role in self.list_all()}
        changes = []
        for spec in specs:
            try:
                spec = _checked(spec)  # noqa: PLW2901
            except errors.InvalidRole as refusal:
                raise errors.InvalidRole(refusal.field, f"{spec.name}: {refusal}") from None
            role = there.get(spec.name)
            lines = differences(spec_of(role) if role else RoleSpec(name=spec.name), spec)
            if role is None or lines:
                changes.append(RoleChange(role, spec, tuple(lines)))
        return changes

    def load(self, specs: Sequence[RoleSpec], *, seen: Sequence[RoleChange], by: Actor) -> None:
        """Create and change roles as `compare` listed. Raises EditConflict if the list has changed, and as `create`."""
        changes = self.compare(specs)
        if [(change.wanted, change.lines) for change in changes] != [(change.wanted, change.lines) for change in seen]:
            raise errors.EditConflict("The roles have changed. Look at the difference again.")
        for change in changes:
            if change.role is None:
                self.create(change.wanted, by=by)
            else:
                self.change(self.get_by_id(change.role.id, lock=True), change.wanted, by=by)

    def _check_changing(self, by: Actor, before: RoleSpec, after: RoleSpec) -> None:
        """Raises NotAllowed, ConfirmationRequired."""
        self.policy.check_rank(by, granted(before.permissions) | granted(after.permissions), action=ROLES_EDIT)
        if before.administrators_only or after.administrators_only:
            self.policy.check_administrator(by)
        self.policy.check_confirmed(by)

    def _store(self, role: Role) -> None:
        try:
            with self.session.begin_nested():
                self.session.add(role)
        except IntegrityError:
            raise errors.RoleTaken from None

    # ── who holds it ──

    def assign(self, user: User, name: str, *, by: Actor) -> None:
        """Assign the role; no change if `user` has it. Raises RoleNotFound, NotAllowed, ConfirmationRequired."""
        self.policy.check_assigning(by, self.get(name, keep=True))
        self.assign_promised(user, name)

    def assign_promised(self, user: User, name: str) -> None:
        """Assign an invited role, or the role that every user gets. Raises RoleNotFound."""
        role = self.get(name, keep=True)
        row = upsert(self.session, user_roles).values(user_id=user.id, role_id=role.id)
        if rowcount(self.session, row.on_conflict_do_nothing()):
            self._note(user, [*user.roles, role])
            self.audit.record("role.assigned", subject_id=user.id, role=name)

    def unassign(self, user: User, name: str, *, by: Actor) -> None:
        """Remove the role; no change if `user` does not have it.

        Raises RoleNotFound, NotAllowed, ConfirmationRequired, LastAdministrator.
        """
        role = self.get(name)
        self.policy.check_assigning(by, role)
        if name == ADMINISTRATOR:
            self.keep_one_administrator(losing=user)
        assigned = delete(user_roles).where(user_roles.c.user_id == user.id, user_roles.c.role_id == role.id)
        if rowcount(self.session, assigned):
            self._note(user, [other for other in user.roles if other != role])
            self.audit.record("role.unassigned", subject_id=user.id, role=name)

    def set(self, user: User, names: Sequence[str], *, by: Actor) -> None:
        """Set the roles of `user` to exactly these. Raises RoleNotFound, NotAllowed, LastAdministrator."""
        new, held = set(names), {role.name for role in user.roles}
        for name in sorted(new - held):
            self.assign(user, name, by=by)
        for name in sorted(held - new):
            self.unassign(user, name, by=by)

    def _note(self, user: User, roles: list[Role]) -> None:
        set_committed_value(user, "roles", sorted(set(roles), key=lambda role: role.name))
        user.updated_at = self.clock()
        self.session.flush()

    def keep_one_administrator(self, *, losing: User) -> None:
        """Raise LastAdministrator unless another user who can sign in is an administrator.

        The role's row is locked before its users are read, so that two administrators who demote each other are checked
        one after the other, and a role assigned in between counts. A conditional UPDATE alone would allow both on
        PostgreSQL.
        """
        role_id = self.session.scalar(select(Role.id).where(Role.name == ADMINISTRATOR).with_for_update())
        able = (
            select(User.id)
            .join(user_roles, user_roles.c.user_id == User.id)
            .where(user_roles.c.role_id == role_id, User.is_active, User.email_verified_at.is_not(None))
        )
        if self.session.scalars(able.limit(2)).all() == [losing.id]:
            raise errors.LastAdministrator


def spec_of(role: Role) -> RoleSpec:
    return RoleSpec(
        name=role.name,
        description=role.description,
        # Permissions that no longer exist are dropped with the next change.
        permissions=frozenset(role.permissions) & {EVERYTHING, *PERMISSIONS},
        requires_second_factor=role.requires_second_factor,
        administrators_only=role.administrators_only,
    )


def differences(before: RoleSpec, after: RoleSpec) -> list[str]:
    """Return the changes from one to the other, one line each."""
    lines = []
    if before.name != after.name:
        lines.append(f"name: {before.name} → {after.name}")
    if before.description != after.description:
        lines.append(f"description: {after.description or 'none'}")
    lines += [f"+ {name}" for name in sorted(after.permissions - before.permissions)]
    lines += [f"- {name}" for name in sorted(before.permissions - after.permissions)]
    if before.requires_second_factor != after.requires_second_factor:
        lines.append(f"second factor: {'required' if after.requires_second_factor else 'not required'}")
    if before.administrators_only != after.administrators_only:
        lines.append(f"assigned by: {'administrators only' if after.administrators_only else 'anyone allowed to'}")
    return lines


def _fill(role: Role, spec: RoleSpec) -> None:
    values = {field.name: getattr(spec, field.name) for field in fields(spec)}
    for name, value in (values | {"permissions": sorted(spec.permissions)}).items():
        setattr(role, name, value)


def _checked(spec: RoleSpec) -> RoleSpec:
    """Return the role with a clean description. Raises InvalidRole, RoleFixed."""
    if not re.fullmatch(ROLE_NAME, spec.name):
        raise errors.InvalidRole(
            "name",
            f"Use 1 to {MAX_ROLE_NAME_LENGTH} lowercase letters, digits, - and _, starting with a letter.",
        )
    permissions = spec.permissions
    if spec.name == ADMINISTRATOR:
        if granted(permissions) != granted([EVERYTHING]):
            raise errors.RoleFixed
        permissions = frozenset({EVERYTHING})
    elif unknown := sorted(permissions - PERMISSIONS.keys()):
        raise errors.InvalidRole("permissions", f"{', '.join(unknown)}: choose from {', '.join(sorted(PERMISSIONS))}.")
    try:
        description = clean_name(spec.description, longest=MAX_DESCRIPTION_LENGTH)
    except errors.InvalidName as refusal:
        raise errors.InvalidRole("description", str(refusal)) from None
    return replace(spec, description=description, permissions=permissions)
