"""Sign-in and confirmation with a passkey."""

from flask import redirect
from flask.typing import ResponseReturnValue

from app.auth import bp, pending_sign_in
from app.auth.second_factors import CONFIRM, SIGN_IN, TWO_FACTOR
from app.auth.services.sign_in import Authentication
from app.auth.sign_in_steps import begin_session
from app.auth.two_factor_views import finish_second_factor
from app.core import errors
from app.passkeys.ceremonies import read_proof, use_proof
from app.passkeys.errors import BadPasskey
from app.passkeys.forms import PasskeyForm
from app.passkeys.service import Passkeys
from app.unit_of_work import Work, unit_of_work
from app.web import current_user, session_cookie
from app.web.access import open_in_maintenance, public
from app.web.limits import limited
from app.web.redirects import done, kept_next, next_page, onward


@bp.post("/passkey")
@public
@open_in_maintenance
@limited("login")
def passkey() -> ResponseReturnValue:
    """Accept a browser's signed passkey response, for one of the three pages that ask for it."""
    form = PasskeyForm()
    target = form.next.data or None
    if not form.validate():
        return done("Couldn't use that passkey. Try again.", to="auth.login", kind="error", next=target)
    purpose = form.purpose.data
    try:
        if purpose == TWO_FACTOR:
            return _as_second_step(form)
        if purpose == CONFIRM:
            return _to_confirm(form)
        return _to_sign_in(form)
    except (BadPasskey, errors.NotUsable) as refusal:
        back = {TWO_FACTOR: "auth.two_factor", CONFIRM: "auth.confirm"}.get(purpose or "", "auth.login")
        return done(str(refusal), to=back, kind="error", next=target)


def _to_sign_in(form: PasskeyForm) -> ResponseReturnValue:
    """Sign in with a passkey that has verified its user, which counts as both factors. Raises BadPasskey, NotUsable."""
    passkey, count = read_proof(form.credential.data or "", purpose=SIGN_IN)

    def prove(work: Work) -> Authentication:
        factor = work[Passkeys].use(passkey, sign_count=count)
        return Authentication(passkey.user_id, "passkey", factor=factor)

    begin_session(prove)
    return onward(form.next.data)


def _as_second_step(form: PasskeyForm) -> ResponseReturnValue:
    pending = pending_sign_in.pending_second_factor()
    if pending is None:
        return done("That took too long. Sign in again.", to="auth.login", kind="info")
    factor = use_proof(form.credential.data or "", TWO_FACTOR, pending.user_id)
    finish_second_factor(pending, factor, trust=bool(form.trust.data))
    return onward(kept_next())


def _to_confirm(form: PasskeyForm) -> ResponseReturnValue:
    who = current_user.principal()
    if who is None or who.impersonator_id is not None:
        return done("Sign in first.", to="auth.login", kind="info")
    factor = use_proof(form.credential.data or "", CONFIRM, who.user_id)
    with unit_of_work() as work:
        token = work.sessions.confirm(who, factor_added_at=factor.added_at)
    session_cookie.keep_token(token)
    return redirect(next_page(form.next.data, otherwise="account.profile"), code=303)
