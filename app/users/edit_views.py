"""Pages that change one user."""

from collections.abc import Callable
from typing import Any

from flask import request, url_for
from flask.typing import ResponseReturnValue

from app.core import errors
from app.core.extensions import settings
from app.core.principal import Principal
from app.unit_of_work import Work, reading, unit_of_work
from app.users import bp
from app.users.forms import DeactivationForm, ReasonForm, UserForm
from app.users.models import USER_FIELDS
from app.users.permissions import ROLES_ASSIGN, USERS_DEACTIVATE, USERS_DELETE, USERS_EDIT, USERS_SUPPORT
from app.web import current_user
from app.web.access import ask_to_confirm, confirmed, is_fresh, requires
from app.web.actions import ask
from app.web.forms import Form
from app.web.limits import count, limited
from app.web.pages import page
from app.web.redirects import done, here


@bp.route("/<id:user_id>/edit", methods=["GET", "POST"])
@requires(USERS_EDIT, on="users")
def edit(user_id: int) -> ResponseReturnValue:
    who, services = current_user.signed_in(), reading()
    user = services.users.get(user_id)
    services.policy.check(who, USERS_EDIT, user)
    form = UserForm(**{name: getattr(user, name) for name in (*USER_FIELDS, "email", "version")})
    roles = grantable(who) if services.policy.may(who, ROLES_ASSIGN, user) else {}
    form.roles.choices = list(roles.items())
    if not form.was_sent():
        form.roles.data = [role.name for role in user.roles]
    if form.validate_on_submit():
        if form.email.canonical != user.email and not is_fresh(who):
            return ask_to_confirm()
        if form.email.canonical != user.email:
            count("mail")
        with form.refusals(errors.SameAddress, errors.TooManyChanges, errors.LastAdministrator, errors.EditConflict):
            return _edit(user_id, form, roles, by=who)
    return page("users/edit.html", form, user=user, **role_fields(roles, shown_before=form.changes_roles()))


def _edit(user_id: int, form: UserForm, roles: dict[str, str], *, by: Principal) -> ResponseReturnValue:
    message = "Changes saved."
    with unit_of_work() as work:
        user = work.users.get(user_id, lock=True)
        if form.version.data != str(user.version):
            raise errors.EditConflict("Someone else changed this user. Open the page again to see the changes.")
        if form.email.canonical != user.email:
            work.users.propose_email(user, form.email.canonical, by=by)
            message = f"Changes saved. We've emailed {form.email.canonical} a link to confirm the new address."
        work.users.change_fields(user, form.texts(), by=by)
        if roles and form.changes_roles():
            kept = [role.name for role in user.roles if role.name not in roles]
            work.users.set_roles(user, [*kept, *(form.roles.data or [])], by=by)
    return done(message, to="users.show", user_id=user_id)


@bp.route("/<id:user_id>/deactivate", methods=["GET", "POST"])
@requires(USERS_DEACTIVATE, on="users")
@confirmed
def deactivate(user_id: int) -> ResponseReturnValue:
    who, services = current_user.signed_in(), reading()
    user = services.users.get(user_id, closed=True)
    services.policy.check(who, USERS_DEACTIVATE, user)
    form = DeactivationForm()
    if form.validate_on_submit():
        with form.refusals(errors.InThePast, errors.LastAdministrator):
            with unit_of_work() as work:
                target = work.users.get(user_id, lock=True, closed=True)
                work.users.deactivate(target, reason=(form.reason.data or "").strip(), until=form.ends_at(), by=who)
            return done("Account deactivated. The user was signed out.", to="users.show", user_id=user_id)
    return page("users/deactivate.html", form, user=user)


@bp.post("/<id:user_id>/activate")
@requires(USERS_DEACTIVATE, on="users")
def activate(user_id: int) -> ResponseReturnValue:
    return change_user(user_id, lambda work: work.users.reactivate, message="Account reactivated.")


@bp.route("/<id:user_id>/end-sessions", methods=["GET", "POST"])
@requires(USERS_SUPPORT, on="users")
def end_sessions(user_id: int) -> ResponseReturnValue:
    form = Form()
    if not form.validate_on_submit():
        text = "This signs the user out of every browser, app and device. Their API keys keep working."
        return _ask(
            user_id, USERS_SUPPORT, "Sign {name} out everywhere?", text, button="Sign out everywhere", form=form
        )
    return change_user(user_id, lambda work: work.users.revoke_sessions, message="The user was signed out everywhere.")


@bp.route("/<id:user_id>/send-reset", methods=["GET", "POST"])
@requires(USERS_SUPPORT, on="users")
@limited("mail")
def send_reset(user_id: int) -> ResponseReturnValue:
    form = Form()
    if not form.validate_on_submit():
        text = "The user gets a link to choose a new password. Their current password works until they use it."
        return _ask(user_id, USERS_SUPPORT, "Send {name} a reset link?", text, button="Send reset link", form=form)
    return change_user(user_id, lambda work: work.users.send_reset, message="Email sent.")


@bp.post("/<id:user_id>/send-confirmation")
@requires(USERS_SUPPORT, on="users")
@limited("mail")
def send_confirmation(user_id: int) -> ResponseReturnValue:
    return change_user(user_id, lambda work: work.users.resend_verification, message="Email sent.")


@bp.route("/<id:user_id>/delete", methods=["GET", "POST"])
@requires(USERS_DELETE, on="users")
@confirmed
def delete(user_id: int) -> ResponseReturnValue:
    form = ReasonForm()
    if not form.validate_on_submit():
        text = (
            "This signs the user out and hides the account. You can restore it for "
            f"{settings().deleted_account_days} days. Then its data is permanently deleted."
        )
        return _ask(user_id, USERS_DELETE, "Delete {name}?", text, button="Delete", form=form)
    reason = (form.reason.data or "").strip()
    return change_user(user_id, lambda work: work.users.delete, message="Account deleted.", reason=reason)


@bp.post("/<id:user_id>/restore")
@requires(USERS_DELETE, on="users")
def restore(user_id: int) -> ResponseReturnValue:
    return change_user(user_id, lambda work: work.users.restore, message="Account restored.")


def _ask(user_id: int, permission: str, title: str, text: str, *, button: str, form: Form) -> ResponseReturnValue:
    """Return a confirmation page. Raises NotAllowed, UserNotFound."""
    services = reading()
    user = services.users.get(user_id)
    services.policy.check(current_user.signed_in(), permission, user)
    name = user.name or user.email
    above = [("Users", url_for("users.index")), (name, url_for("users.show", user_id=user_id))]
    return ask(title.format(name=name), text, button=button, above=above, form=form, hint="The user gets it by email.")


def change_user(
    user_id: int, method: Callable[[Work], Callable[..., object]], *, message: str, **how: str
) -> ResponseReturnValue:
    """Call the method with the user in one transaction, and return to their page with the message or the refusal."""
    is_undone = request.endpoint == "users.restore"
    try:
        with unit_of_work() as work:
            user = work.users.get(user_id, lock=True, deleted=is_undone)
            method(work)(user, by=current_user.signed_in(), **how)
    except (errors.LastAdministrator, errors.NotActive, errors.AlreadyConfirmed, errors.NotSetUp) as refusal:
        return done(str(refusal), to="users.show", kind="error", user_id=user_id)
    return done(message, to="users.show", user_id=user_id)


def role_fields(roles: dict[str, str], *, shown_before: bool) -> dict[str, Any]:
    """Return the roles to choose from, or the URL to confirm first, because assigning roles requires that."""
    if not roles:
        return {"groups": {}, "confirm_url": None}
    if shown_before or is_fresh(current_user.signed_in()):
        return {"groups": {"roles": roles}, "confirm_url": None}
    return {"groups": {}, "confirm_url": url_for("auth.confirm", next=here())}


def grantable(who: Principal) -> dict[str, str]:
    """Return the roles that `who` can assign, with their descriptions."""
    if not who.has(ROLES_ASSIGN):
        return {}
    services = reading()
    return {role.name: role.description for role in services.roles.list_all() if services.policy.may_give(who, role)}
