"""Pages to set up an authenticator app."""

from flask import redirect, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from app.account import bp
from app.account.security_views import codes_for_first, finish_adding
from app.auth.recovery_codes import plain
from app.core import errors
from app.site.current import brand
from app.totp.codes import qr_code, seed_uri
from app.totp.forms import CodeForm
from app.totp.service import AuthenticatorApps
from app.unit_of_work import reading, unit_of_work
from app.web import current_user
from app.web.access import confirmed, sets_up
from app.web.limits import limited
from app.web.pages import page
from app.web.redirects import done


@bp.post("/security/begin")
@sets_up
@confirmed
def begin() -> ResponseReturnValue:
    with unit_of_work() as work:
        work[AuthenticatorApps].start(current_user.signed_in().user_id)
    return redirect(url_for("account.codes"), code=303)


@bp.route("/security/codes", methods=["GET", "POST"])
@sets_up
@confirmed
@limited("password")
def codes() -> ResponseReturnValue:
    """Show the TOTP key until the first right code; the response to that shows the recovery codes once."""
    who = current_user.signed_in()
    form = CodeForm()
    try:
        seed = reading()[AuthenticatorApps].get_pending_seed(who.user_id)
        if form.validate_on_submit():
            return _confirm(form)
    except errors.NotSetUp as refusal:
        return done(str(refusal), to="account.security", kind="info")
    except (errors.WrongCode, errors.TryLater) as refusal:
        form.refuse(refusal)
    uri = seed_uri(seed, account=who.email, issuer=brand().name)
    spaced = " ".join(seed[at : at + 4] for at in range(0, len(seed), 4))
    return page("account/codes.html", form, seed=spaced, uri=uri, picture=Markup(qr_code(uri)))  # noqa: S704 - ours.


def _confirm(form: CodeForm) -> ResponseReturnValue:
    """Raises NotSetUp, WrongCode, Busy."""
    who = current_user.signed_in()
    codes, hashes = codes_for_first(who.user_id)
    with unit_of_work() as work:
        token = work[AuthenticatorApps].confirm(who, plain(form.code.data or ""), recovery=hashes)
    return finish_adding(token, codes, message="Authenticator app replaced.")
