"""Pages for second factors, recovery codes and trusted browsers."""

from flask import url_for
from flask.typing import ResponseReturnValue

from app.account import bp
from app.account.forms import RemoveForm
from app.auth.password_setup import credentials
from app.auth.recovery_codes import RECOVERY_CODES, new_recovery_codes, plain
from app.core import errors
from app.core.extensions import features
from app.unit_of_work import reading, unit_of_work
from app.web import current_user, session_cookie
from app.web.access import confirmed, sets_up
from app.web.actions import ask
from app.web.forms import Form
from app.web.limits import limited
from app.web.pages import page
from app.web.parts import SECURITY_NOTICE, SECURITY_SECTION, load_parts
from app.web.redirects import done


@bp.get("/security")
@sets_up
def security() -> ResponseReturnValue:
    who, factors = current_user.signed_in(), reading().factors
    return page(
        "account/security.html",
        sections=load_parts(SECURITY_SECTION, reading(), who),
        has_factor=factors.has_any(who.user_id),
        left=factors.recovery_left(who.user_id),
        of=RECOVERY_CODES,
        is_missing=who.lacks_factor,
        notices=load_parts(SECURITY_NOTICE, reading(), who),
        browsers=factors.list_trusted(who.user_id),
    )


def finish_adding(token: str, codes: list[str], *, message: str) -> ResponseReturnValue:
    """Keep the session's new `token` after a factor was added; of the first one, show the recovery codes."""
    session_cookie.keep_token(token)
    return _shown(codes, is_first=True) if codes else done(message, to="account.security")


def codes_for_first(user_id: int) -> tuple[list[str], list[str]]:
    """Return recovery codes and their hashes for the first factor, or empty lists. Raises Busy."""
    codes = [] if reading().factors.has_any(user_id) else new_recovery_codes()
    return codes, credentials.passwords.derive([plain(code) for code in codes]) if codes else []


@bp.route("/security/recovery-codes", methods=["GET", "POST"])
@confirmed
@limited("password")
def recovery_codes() -> ResponseReturnValue:
    """Create new recovery codes; only the response to the POST shows them, because only hashes are stored."""
    form = Form()
    if not form.validate_on_submit():
        text, above = "Your current codes stop working.", [("Security", url_for("account.security"))]
        return ask("Create new recovery codes?", text, button="Create new codes", above=above, form=form)
    codes = new_recovery_codes()
    try:
        hashes = credentials.passwords.derive([plain(code) for code in codes])
        with unit_of_work() as work:
            work.factors.renew_recovery(current_user.signed_in().user_id, hashes)
    except (errors.NotSetUp, errors.TryLater) as refusal:
        return done(str(refusal), to="account.security", kind="error")
    return _shown(codes, is_first=False)


def _shown(codes: list[str], *, is_first: bool) -> ResponseReturnValue:
    return page("account/recovery_codes.html", codes=codes, is_first=is_first)


@bp.route("/security/<id:authenticator_id>/remove", methods=["GET", "POST"])
@confirmed
@limited("password")
def remove(authenticator_id: int) -> ResponseReturnValue:
    """Remove a factor. Removing the last one needs explicit confirmation, because the account then has only its
    password.
    """
    who, factors = current_user.signed_in(), reading().factors
    form = RemoveForm()
    try:
        authenticator = factors.get(who.user_id, authenticator_id)
        kind = features().factors[authenticator.kind].words.name
        name, is_last = authenticator.name or kind[:1].lower() + kind[1:], factors.is_last(authenticator)
        if form.validate_on_submit():
            with unit_of_work() as work:
                work.factors.remove(who.user_id, authenticator_id, also_last=bool(form.sure.data))
            return done(f"{name[:1].upper()}{name[1:]} removed.", to="account.security")
    except errors.LastFactor as refusal:
        form.refuse(refusal)
        is_last = True
    except errors.NotSetUp:
        return done("That was already removed.", to="account.security")
    except (errors.FactorRequired, errors.LastSignInMethod) as refusal:
        return done(str(refusal), to="account.security", kind="error")
    return page("account/remove.html", form, name=name, is_last=is_last)


@bp.post("/security/browsers/<id:device_id>/distrust")
@confirmed
def distrust(device_id: int) -> ResponseReturnValue:
    with unit_of_work() as work:
        work.factors.distrust(current_user.signed_in().user_id, device_id)
    return done("Browser no longer trusted.", to="account.security")
