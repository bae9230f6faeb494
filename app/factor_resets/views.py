"""Pages to reset a user's second factors."""

from flask.typing import ResponseReturnValue

from app.core import errors
from app.core.extensions import settings_of
from app.factor_resets.permissions import USERS_RESET_FACTORS
from app.factor_resets.service import FactorResets
from app.factor_resets.settings import FactorResetSettings
from app.unit_of_work import reading, unit_of_work
from app.users import bp
from app.users.edit_views import change_user
from app.users.forms import ReasonForm
from app.web import current_user
from app.web.access import confirmed, requires
from app.web.pages import page
from app.web.redirects import done


@bp.route("/<id:user_id>/reset-factors", methods=["GET", "POST"])
@requires(USERS_RESET_FACTORS, on="users")
@confirmed
def reset_factors(user_id: int) -> ResponseReturnValue:
    who, services = current_user.signed_in(), reading()
    user = services.users.get(user_id)
    services.policy.check(who, USERS_RESET_FACTORS, user)
    form = ReasonForm()
    if form.validate_on_submit():
        with form.refusals(errors.NotSetUp):
            with unit_of_work() as work:
                target = work.users.get(user_id, lock=True)
                work[FactorResets].announce_reset(target, reason=(form.reason.data or "").strip(), by=who)
            return done("Reset scheduled. The user has been notified.", to="users.show", user_id=user_id)
    hours = settings_of(FactorResetSettings).factor_reset_hours
    return page("users/reset_factors.html", form, user=user, hours=hours)


@bp.post("/<id:user_id>/keep-factors")
@requires(USERS_RESET_FACTORS, on="users")
def keep_factors(user_id: int) -> ResponseReturnValue:
    return change_user(
        user_id, lambda work: work[FactorResets].cancel_reset, message="Reset cancelled. The second factors stay."
    )
