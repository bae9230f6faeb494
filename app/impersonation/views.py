"""Pages to start and stop impersonation."""

from flask import redirect, url_for
from flask.typing import ResponseReturnValue

from app.core import errors
from app.core.extensions import settings_of
from app.impersonation.permissions import USERS_IMPERSONATE
from app.impersonation.service import Impersonation
from app.impersonation.settings import ImpersonationSettings
from app.unit_of_work import reading, unit_of_work
from app.users import bp
from app.users.forms import ReasonForm
from app.web import current_user
from app.web.access import confirmed, requires
from app.web.pages import page


@bp.route("/<id:user_id>/impersonate", methods=["GET", "POST"])
@requires(USERS_IMPERSONATE, on="users")
@confirmed
def impersonate(user_id: int) -> ResponseReturnValue:
    who, services = current_user.signed_in(), reading()
    user = services.users.get(user_id)
    services.policy.check(who, USERS_IMPERSONATE, user)
    form = ReasonForm()
    if form.validate_on_submit():
        with form.refusals(errors.NotActive):
            with unit_of_work() as work:
                target = work.users.get(user_id, lock=True)
                work[Impersonation].impersonate(target, reason=(form.reason.data or "").strip(), by=who)
            return redirect(url_for("account.profile"))
    minutes = settings_of(ImpersonationSettings).impersonation_minutes
    return page("users/impersonate.html", form, user=user, minutes=minutes)


@bp.post("/stop-impersonating")
def stop_impersonating() -> ResponseReturnValue:
    who = current_user.signed_in()
    with unit_of_work() as work:
        work[Impersonation].stop_impersonating(who)
    return redirect(
        url_for("home.index") if who.impersonator_id is None else url_for("users.show", user_id=who.user_id)
    )
