"""The second step of a sign-in: a code of an authenticator app, or a recovery code."""

from __future__ import annotations

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue

from app.auth import bp
from app.auth.forms import TwoFactorForm
from app.errors import AuthenticatorLocked, NotUsable, SecondFactorRequired, TryLater, WrongCode
from app.models import Factor
from app.services.factors import ProvedFactor
from app.services.sign_in import Authentication
from app.unit_of_work import reading
from app.web import identity
from app.web.access import open_in_maintenance, public
from app.web.credentials import begin_session, check_code
from app.web.identity import Half
from app.web.limits import limited
from app.web.pages import page
from app.web.passkeys import TWO_FACTOR, options_to_prove
from app.web.redirects import done, keep_next, kept_next, onward


def ask_for_factor(
    asked: SecondFactorRequired, *, method: str, remember: bool, target: str | None
) -> ResponseReturnValue:
    """Go on to the second step, which this browser alone can take, for ten minutes."""
    identity.keep_half(Half(asked.user_id, asked.proof, method, remember))
    keep_next(target)
    return redirect(url_for("auth.two_factor"), code=303)


@bp.route("/two-factor", methods=["GET", "POST"])
@public
@open_in_maintenance
@limited("login")
def two_factor() -> ResponseReturnValue:
    half = identity.half()
    form = TwoFactorForm(half=half.handle if half else "")
    if half is None or form.half.data != half.handle:
        text = "That took too long, or you started to sign in to another account in this browser. Sign in again."
        return done(text, to="auth.login", kind="info")
    if _uses_recovery(half):
        form.code.takes_recovery_only()
    if form.validate_on_submit():
        try:
            factor = check_code(half.user_id, form.code.data or "")
            finish_half(half, factor, trust=bool(form.trust.data))
        except NotUsable:
            return done("Your account has changed since. Sign in again.", to="auth.login", kind="info")
        except (WrongCode, AuthenticatorLocked, TryLater) as refusal:
            form.refuse("code", refusal)
        else:
            return onward(kept_next())
    return _ask(half, form)


def _has_app(half: Half) -> bool:
    return reading().factors.find(half.user_id, Factor.TOTP) is not None


def _uses_recovery(half: Half) -> bool:
    return request.args.get("use") == "recovery" or not _has_app(half)


def _ask(half: Half, form: TwoFactorForm) -> ResponseReturnValue:
    return page(
        "auth/two_factor.html",
        form,
        uses_recovery=_uses_recovery(half),
        has_totp=_has_app(half),
        options=options_to_prove(TWO_FACTOR, half.user_id, reading().factors.list_passkeys(half.user_id)),
    )


def finish_half(half: Half, factor: ProvedFactor, *, trust: bool) -> None:
    """Begin the session of who has shown a second factor. Raises NotUsable."""
    proved = Authentication(half.user_id, half.method, remember=half.remember, factor=factor, first_factor=half.proof)
    begin_session(lambda _: proved, trust=trust)
