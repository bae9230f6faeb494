"""Cancellation of a reset by its user."""

from flask.typing import ResponseReturnValue

from app.account import bp
from app.core import errors
from app.factor_resets.errors import FactorTooNew
from app.factor_resets.service import FactorResets
from app.unit_of_work import unit_of_work
from app.web import current_user
from app.web.access import ask_to_confirm, by_oneself, is_fresh
from app.web.redirects import done


@bp.post("/security/keep-factors")
@by_oneself
def keep_factors() -> ResponseReturnValue:
    """Cancel a reset that an administrator has started, with a factor that is a week older."""
    who = current_user.signed_in()
    try:
        with unit_of_work() as work:
            work[FactorResets].cancel_reset(work.users.get(who.user_id, lock=True), by=who)
    except FactorTooNew as refusal:
        return done(str(refusal), to="account.security", kind="error") if is_fresh(who) else ask_to_confirm()
    except errors.NotSetUp as refusal:
        return done(str(refusal), to="account.security", kind="info")
    return done("Cancelled. Your second factors stay. Tell an administrator about this.", to="account.security")
