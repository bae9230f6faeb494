"""The second step of sign-in: a code, or what features offer."""

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue

from app.auth import bp, pending_sign_in
from app.auth.forms import TwoFactorForm
from app.auth.pending_sign_in import PendingSecondFactor
from app.auth.second_factors import TWO_FACTOR, ProofRequest, ProvedFactor
from app.auth.services.sign_in import Authentication
from app.auth.sign_in_steps import begin_session, check_code
from app.core import errors
from app.unit_of_work import reading
from app.web.access import open_in_maintenance, public
from app.web.limits import limited
from app.web.pages import page
from app.web.parts import PROOF, load_parts
from app.web.redirects import done, keep_next, kept_next, onward


def ask_for_factor(
    required: errors.SecondFactorRequired, *, method: str, remember: bool, target: str | None
) -> ResponseReturnValue:
    """Redirect to the second step, which only this browser can take within ten minutes."""
    pending_sign_in.keep_pending_second_factor(PendingSecondFactor(required.user_id, required.proof, method, remember))
    keep_next(target)
    return redirect(url_for("auth.two_factor"), code=303)


@bp.route("/two-factor", methods=["GET", "POST"])
@public
@open_in_maintenance
@limited("login")
def two_factor() -> ResponseReturnValue:
    pending = pending_sign_in.pending_second_factor()
    form = TwoFactorForm(pending=pending.handle if pending else "")
    if pending is None or form.pending.data != pending.handle:
        text = "That took too long, or you started to sign in to another account in this browser. Sign in again."
        return done(text, to="auth.login", kind="info")
    sources = reading().factors.list_code_sources(pending.user_id)
    uses_recovery = request.args.get("use") == "recovery" or not sources
    if uses_recovery:
        form.code.takes_recovery_only()
    if form.validate_on_submit():
        try:
            factor = check_code(pending.user_id, form.code.data or "")
            finish_second_factor(pending, factor, trust=bool(form.trust.data))
        except errors.NotUsable:
            return done("Your account has changed since. Sign in again.", to="auth.login", kind="info")
        except (errors.WrongCode, errors.AuthenticatorLocked, errors.TryLater) as refusal:
            form.refuse(refusal)
        else:
            return onward(kept_next())
    proof_request = ProofRequest(purpose=TWO_FACTOR, user_id=pending.user_id)
    proofs = load_parts(PROOF, reading(), None, proof_request)
    return page("auth/two_factor.html", form, uses_recovery=uses_recovery, sources=sources, proofs=proofs)


def finish_second_factor(pending: PendingSecondFactor, factor: ProvedFactor, *, trust: bool) -> None:
    """Start the session after the second factor. Raises NotUsable."""
    proved = Authentication(
        pending.user_id, pending.method, remember=pending.remember, factor=factor, first_factor=pending.proof
    )
    begin_session(lambda _: proved, trust=trust)
