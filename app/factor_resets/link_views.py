"""The page behind the link that cancels a reset."""

from flask.typing import ResponseReturnValue

from app.auth.forms import ButtonForm
from app.auth.link_pages import link_form, link_page
from app.auth.models import Purpose
from app.core import errors
from app.factor_resets.service import FactorResets
from app.unit_of_work import reading, unit_of_work
from app.web.redirects import done, drop_link


@link_page(Purpose.KEEP_FACTORS, opener="open_keep_factors", again="auth.login", text="Sign in")
def keep_factors(token: str) -> ResponseReturnValue:
    """Cancel the removal of all second factors, which an administrator has started."""
    form = ButtonForm()
    try:
        waiting = reading()[FactorResets].get_cancellable(token)
        if form.validate_on_submit():
            with unit_of_work() as work:
                work[FactorResets].cancel_by_link(token)
            drop_link(token, Purpose.KEEP_FACTORS)
            return done("Cancelled. Your second factors stay. Tell an administrator about this.", to="auth.login")
    except errors.NotSetUp:
        raise errors.InvalidLink from None
    owner = reading().users.get(waiting.user_id, deleted=True)
    return link_form("auth/keep_factors.html", form, token, address=owner.email, due_at=waiting.due_at)
