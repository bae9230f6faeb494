"""Role endpoints."""

from dataclasses import replace
from typing import Any

from flask import request

from app.api import bp
from app.api.endpoint import endpoint
from app.api.listing import list_page
from app.api.responses import Answer, check_unchanged
from app.api.schemas import PageQuery
from app.core import errors
from app.core.resources import plain
from app.unit_of_work import reading, unit_of_work
from app.users.models import Role
from app.users.permissions import ROLES_EDIT, ROLES_READ, granted
from app.users.schemas import NewRoleIn, RoleIn, RoleOut, RolesOut
from app.users.services.roles import RoleSpec, spec_of
from app.web import current_user
from app.web.access import confirmed, requires

_CANNOT_MAKE = (errors.NotAllowed, errors.RoleTaken, errors.RoleFixed)
_CANNOT_CHANGE = (*_CANNOT_MAKE, errors.RoleNotFound, errors.EditConflict)
_CANNOT_DELETE = (errors.NotAllowed, errors.RoleNotFound, errors.RoleFixed, errors.RoleInUse, errors.EditConflict)


@bp.get("/v1/roles")
@endpoint(RolesOut, query=PageQuery, tag="roles", lists=True)
@requires(ROLES_READ)
def list_roles(query: PageQuery) -> dict[str, Any]:
    """List roles."""
    list_after = reading().roles.list_after
    return list_page(query, lambda after, limit: list_after(after or 0, limit=limit), _shown, of={"list": "roles"})


@bp.post("/v1/roles")
@endpoint(RoleOut, status=201, body=NewRoleIn, refuses=_CANNOT_MAKE, tag="roles", replays=True)
@requires(ROLES_EDIT)
@confirmed
def make_role(body: NewRoleIn) -> Answer:
    """Create a role, up to your own permissions."""
    spec = RoleSpec(**body.model_dump() | {"permissions": frozenset(body.permissions)})
    with unit_of_work() as work:
        role = work.roles.create(spec, by=current_user.signed_in())
    return Answer(_shown(role), status=201, headers={"Location": f"{request.script_root}/api/v1/roles/{role.id}"})


@bp.get("/v1/roles/<id:role_id>")
@endpoint(RoleOut, refuses=(errors.RoleNotFound,), tag="roles", etag=True)
@requires(ROLES_READ)
def show_role(role_id: int) -> Answer:
    """Get a role."""
    return _one(reading().roles.get_by_id(role_id))


@bp.put("/v1/roles/<id:role_id>")
@endpoint(RoleOut, body=RoleIn, refuses=_CANNOT_CHANGE, tag="roles", etag=True)
@requires(ROLES_EDIT)
@confirmed
def change_role(role_id: int, body: RoleIn) -> Answer:
    """Change a role. Takes effect immediately."""
    with unit_of_work() as work:
        role = work.roles.get_by_id(role_id, lock=True)
        check_unchanged(_tag(role))
        changes = body.model_dump(exclude_none=True)
        if body.permissions is not None:
            changes["permissions"] = frozenset(body.permissions)
        work.roles.change(role, replace(spec_of(role), **changes), by=current_user.signed_in())
    return _one(role)


@bp.delete("/v1/roles/<id:role_id>")
@endpoint(None, refuses=_CANNOT_DELETE, tag="roles")
@requires(ROLES_EDIT)
@confirmed
def delete_role(role_id: int) -> Answer:
    """Delete a role that no user has."""
    with unit_of_work() as work:
        role = work.roles.get_by_id(role_id, lock=True)
        check_unchanged(_tag(role))
        work.roles.delete(role, by=current_user.signed_in())
    return Answer(message="Role deleted.")


def _one(role: Role) -> Answer:
    return Answer(_shown(role), etag=_tag(role))


def _tag(role: Role) -> str:
    return f"role-{role.id}-{role.version}"


def _shown(role: Role) -> dict[str, Any]:
    return plain(RoleOut, role, permissions=sorted(granted(role.permissions)))
