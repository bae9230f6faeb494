"""Pages to add and rename passkeys."""

from flask.typing import ResponseReturnValue

from app.account import bp
from app.account.security_views import codes_for_first, finish_adding
from app.core.user_agents import device_name
from app.passkeys.ceremonies import options_to_add, read_new
from app.passkeys.errors import BadPasskey, PasskeyTaken, TooManyPasskeys
from app.passkeys.forms import NewPasskeyForm, PasskeyNameForm
from app.passkeys.service import Passkeys
from app.unit_of_work import reading, unit_of_work
from app.web import current_user
from app.web.access import confirmed, sets_up
from app.web.limits import limited
from app.web.pages import page
from app.web.redirects import done


@bp.route("/security/passkeys", methods=["GET", "POST"])
@sets_up
@confirmed
@limited("password")
def passkeys() -> ResponseReturnValue:
    who = current_user.signed_in()
    form = NewPasskeyForm(name=device_name(current_user.visit().user_agent))
    if form.validate_on_submit():
        with form.refusals(BadPasskey, PasskeyTaken, TooManyPasskeys):
            return _add_passkey(form)
    options = options_to_add(who, reading()[Passkeys].list_of(who.user_id))
    return page("account/passkeys.html", form, options=options)


def _add_passkey(form: NewPasskeyForm) -> ResponseReturnValue:
    """Raises BadPasskey, PasskeyTaken, TooManyPasskeys, Busy."""
    who = current_user.signed_in()
    new = read_new(form.credential.data or "", user_id=who.user_id)
    codes, hashes = codes_for_first(who.user_id)
    with unit_of_work() as work:
        token = work[Passkeys].add(who, new, name=form.name.clean, recovery=hashes)
    return finish_adding(token, codes, message="Passkey added.")


@bp.route("/security/<id:authenticator_id>", methods=["GET", "POST"])
@confirmed
def passkey(authenticator_id: int) -> ResponseReturnValue:
    who = current_user.signed_in()
    form = PasskeyNameForm(name=reading()[Passkeys].get(who.user_id, authenticator_id).name)
    if form.validate_on_submit():
        with unit_of_work() as work:
            work[Passkeys].rename(who.user_id, authenticator_id, form.name.clean)
        return done("Name saved.", to="account.security")
    return page("account/passkey.html", form, authenticator_id=authenticator_id)
