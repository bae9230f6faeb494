"""Actions on several users, with a preview."""

from flask import request
from flask.typing import ResponseReturnValue

from app.core.models import MAX_ID
from app.unit_of_work import unit_of_work
from app.users import bp
from app.users.edit_views import grantable
from app.users.forms import BulkForm
from app.users.permissions import USERS_DEACTIVATE, USERS_READ, USERS_SUPPORT
from app.users.services.bulk_actions import Act, BulkResult
from app.web import current_user
from app.web.access import confirmed, requires
from app.web.pages import page
from app.web.redirects import done


class _Preview(Exception):
    """Rolls the transaction back."""


@bp.post("/bulk")
@requires(USERS_READ)
@confirmed
def bulk() -> ResponseReturnValue:
    """Preview a bulk action by rolling it back; with `go`, commit it."""
    who = current_user.signed_in()
    form = BulkForm()
    form.offer(list(grantable(who)), may_deactivate=who.has(USERS_DEACTIVATE), may_support=who.has(USERS_SUPPORT))
    is_chosen = form.validate() or [*form.errors] == ["reason"]
    if not is_chosen or not form.users.data or not all(0 < user_id <= MAX_ID for user_id in form.users.data):
        return done("Select at least one user and an action.", to="users.index", kind="error")
    kind, _, role = (form.act.data or "").partition(":")
    reason = "" if form.reason.errors else " ".join((form.reason.data or "").split())
    act = Act(kind=kind, role=role, reason=reason or "Not given.")  # type: ignore[arg-type]  # One of the choices.
    go = "go" in request.form and not form.reason.errors and (kind != "deactivate" or bool(reason))
    outcomes: list[BulkResult] = []
    try:
        with unit_of_work() as work:
            outcomes = work.bulk_actions.perform(act, form.users.data, by=who)
            if not go:
                raise _Preview
    except _Preview:
        return _preview(form, outcomes, wants_reason=kind == "deactivate")
    count = sum(outcome.refusal is None for outcome in outcomes)
    done_to = {
        "deactivate": "deactivated",
        "end_sessions": "signed out everywhere",
        "assign": f"assigned the role {role}",
    }
    return done(f"{count} {'user' if count == 1 else 'users'} {done_to[kind]}.", to="users.index")


def _preview(form: BulkForm, outcomes: list[BulkResult], *, wants_reason: bool) -> ResponseReturnValue:
    form.reason.flags.required = wants_reason
    if "go" in request.form and not form.reason.errors:
        form.reason.errors = ["Enter a reason. The users will see it."]
    return page(
        "users/bulk.html",
        form,
        what=form.offered[form.act.data or ""],
        affected=[outcome for outcome in outcomes if outcome.refusal is None],
        left_out=[outcome for outcome in outcomes if outcome.refusal is not None],
        wants_reason=wants_reason,
    )
