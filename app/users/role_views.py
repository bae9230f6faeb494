"""Pages for roles and their permissions."""

from flask import url_for
from flask.typing import ResponseReturnValue

from app.admin import bp
from app.core import errors
from app.core.principal import Principal
from app.unit_of_work import reading, unit_of_work
from app.users.models import Role
from app.users.permissions import EVERYTHING, PERMISSIONS, ROLES_EDIT, ROLES_READ, USERS_READ, by_group, granted
from app.users.role_forms import RoleForm
from app.users.services.roles import MAX_COUNTED, RoleSpec, spec_of
from app.web import current_user
from app.web.access import confirmed, requires
from app.web.actions import ask
from app.web.forms import Form
from app.web.pages import page
from app.web.redirects import done

HOLDERS_SHOWN = 25


@bp.get("/roles")
@requires(ROLES_READ)
def roles() -> ResponseReturnValue:
    shown = [
        (role, granted(role.permissions), f"over {MAX_COUNTED}" if count > MAX_COUNTED else count)
        for role, count in reading().roles.list_with_holders()
    ]
    return page("admin/roles.html", roles=shown, all=len(PERMISSIONS), everything=EVERYTHING)


@bp.get("/roles/<id:role_id>")
@requires(ROLES_READ)
def role(role_id: int) -> ResponseReturnValue:
    who, services = current_user.signed_in(), reading()
    found_role = services.roles.get_by_id(role_id)
    holders = services.roles.list_holders(found_role.name, limit=HOLDERS_SHOWN + 1) if who.has(USERS_READ) else []
    return page(
        "admin/role.html",
        role=found_role,
        everything=EVERYTHING,
        groups=by_group(granted(found_role.permissions)),
        can_edit=_can_edit(who, found_role),
        can_delete=_can_edit(who, found_role) and not found_role.keeps_its_name(),
        holders=holders[:HOLDERS_SHOWN],
        has_more=len(holders) > HOLDERS_SHOWN,
    )


@bp.route("/roles/new", methods=["GET", "POST"])
@requires(ROLES_EDIT)
@confirmed
def new_role() -> ResponseReturnValue:
    who = current_user.signed_in()
    form = RoleForm.for_role(None, by=who)
    if form.validate_on_submit():
        with form.refusals(errors.InvalidRole, errors.RoleTaken, errors.RoleFixed):
            with unit_of_work() as work:
                role = work.roles.create(form.spec(before=RoleSpec(name="")), by=who)
            return done(f"Role {role.name} created.", to="admin.role", role_id=role.id)
    return page("admin/edit_role.html", form, role=None, groups=by_group(who.permissions))


@bp.route("/roles/<id:role_id>/edit", methods=["GET", "POST"])
@requires(ROLES_EDIT)
@confirmed
def edit_role(role_id: int) -> ResponseReturnValue:
    who, services = current_user.signed_in(), reading()
    role = services.roles.get_by_id(role_id)
    services.policy.check_rank(who, granted(role.permissions), action=ROLES_EDIT)
    if role.administrators_only:
        services.policy.check_administrator(who)
    form = RoleForm.for_role(role, by=who)
    if form.validate_on_submit():
        with form.refusals(errors.InvalidRole, errors.RoleTaken, errors.RoleFixed, errors.EditConflict):
            return _change(role_id, form, by=who)
    return page("admin/edit_role.html", form, role=role, groups=by_group(who.permissions))


@bp.route("/roles/<id:role_id>/delete", methods=["GET", "POST"])
@requires(ROLES_EDIT)
@confirmed
def delete_role(role_id: int) -> ResponseReturnValue:
    form = Form()
    if not form.validate_on_submit():
        name = reading().roles.get_by_id(role_id).name
        above = [("Roles", url_for("admin.roles")), (name, url_for("admin.role", role_id=role_id))]
        return ask(f"Delete role {name}?", "This cannot be undone.", button="Delete", above=above, form=form)
    try:
        with unit_of_work() as work:
            role = work.roles.get_by_id(role_id, lock=True)
            work.roles.delete(role, by=current_user.signed_in())
    except (errors.RoleInUse, errors.RoleFixed) as refusal:
        return done(str(refusal), to="admin.role", kind="error", role_id=role_id)
    return done(f"Role {role.name} deleted.", to="admin.roles")


def _change(role_id: int, form: RoleForm, *, by: Principal) -> ResponseReturnValue:
    with unit_of_work() as work:
        role = work.roles.get_by_id(role_id, lock=True)
        if form.version.data != str(role.version):
            raise errors.EditConflict("Someone else changed this role. Open it again to see the changes.")
        work.roles.change(role, form.spec(before=spec_of(role)), by=by)
    return done(f"Role {role.name} saved.", to="admin.role", role_id=role_id)


def _can_edit(who: Principal, role: Role) -> bool:
    return who.has(ROLES_EDIT) and reading().policy.may_give(who, role)
