"""Pages for second factors, recovery codes and trusted browsers."""

from flask import redirect, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from app.account import bp
from app.account.forms import CodeForm, PasskeyForm, PasskeyNameForm, RemoveForm
from app.auth.models import Factor
from app.auth.password_setup import credentials
from app.auth.second_factor_codes import RECOVERY_CODES, new_recovery_codes, plain, qr_code, seed_uri
from app.core import errors
from app.core.user_agents import device_name
from app.passkeys.ceremonies import options_to_add, read_new
from app.site.current import brand
from app.unit_of_work import reading, unit_of_work
from app.web import current_user, session_cookie
from app.web.access import confirmed, sets_up
from app.web.actions import ask
from app.web.forms import Form
from app.web.limits import limited
from app.web.pages import page
from app.web.parts import SECURITY_NOTICE, load_parts
from app.web.redirects import done


@bp.get("/security")
@sets_up
def security() -> ResponseReturnValue:
    who, factors = current_user.signed_in(), reading().factors
    return page(
        "account/security.html",
        totp=factors.find(who.user_id, Factor.TOTP),
        passkeys=factors.list_passkeys(who.user_id),
        has_factor=factors.has_any(who.user_id),
        left=factors.recovery_left(who.user_id),
        of=RECOVERY_CODES,
        is_missing=who.lacks_factor,
        notices=load_parts(SECURITY_NOTICE, reading(), who),
        browsers=factors.list_trusted(who.user_id),
    )


@bp.post("/security/begin")
@sets_up
@confirmed
def begin() -> ResponseReturnValue:
    with unit_of_work() as work:
        work.factors.begin_totp(current_user.signed_in().user_id)
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
        seed = reading().factors.get_pending_seed(who.user_id)
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
    codes, hashes = _codes_for_first(who.user_id)
    with unit_of_work() as work:
        token = work.factors.confirm_totp(who, plain(form.code.data or ""), recovery=hashes)
    return _added(token, codes, message="Authenticator app replaced.")


def _added(token: str, codes: list[str], *, message: str) -> ResponseReturnValue:
    session_cookie.keep_token(token)
    return _shown(codes, is_first=True) if codes else done(message, to="account.security")


def _codes_for_first(user_id: int) -> tuple[list[str], list[str]]:
    """Return recovery codes and their hashes for the first factor, or empty lists. Raises Busy."""
    codes = [] if reading().factors.has_any(user_id) else new_recovery_codes()
    return codes, credentials.passwords.derive([plain(code) for code in codes]) if codes else []


@bp.route("/security/passkeys", methods=["GET", "POST"])
@sets_up
@confirmed
@limited("password")
def passkeys() -> ResponseReturnValue:
    who = current_user.signed_in()
    form = PasskeyForm(name=device_name(current_user.visit().user_agent))
    if form.validate_on_submit():
        with form.refusals(errors.BadPasskey, errors.PasskeyTaken, errors.TooManyPasskeys):
            return _add_passkey(form)
    options = options_to_add(who, reading().factors.list_passkeys(who.user_id))
    return page("account/passkeys.html", form, options=options)


def _add_passkey(form: PasskeyForm) -> ResponseReturnValue:
    """Raises BadPasskey, PasskeyTaken, TooManyPasskeys, Busy."""
    who = current_user.signed_in()
    new = read_new(form.credential.data or "", user_id=who.user_id)
    codes, hashes = _codes_for_first(who.user_id)
    with unit_of_work() as work:
        token = work.factors.add_passkey(who, new, name=form.name.clean, recovery=hashes)
    return _added(token, codes, message="Passkey added.")


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


@bp.route("/security/<id:authenticator_id>", methods=["GET", "POST"])
@confirmed
def passkey(authenticator_id: int) -> ResponseReturnValue:
    who = current_user.signed_in()
    form = PasskeyNameForm(name=reading().factors.get_passkey(who.user_id, authenticator_id).name)
    if form.validate_on_submit():
        with unit_of_work() as work:
            work.factors.rename_passkey(who.user_id, authenticator_id, form.name.clean)
        return done("Name saved.", to="account.security")
    return page("account/passkey.html", form, authenticator_id=authenticator_id)


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
        name, is_last = authenticator.name or "authenticator app", factors.is_last(authenticator)
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
