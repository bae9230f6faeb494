"""Sign-up, sign-in and sign-out."""

from flask import jsonify, make_response, redirect, request, session, url_for
from flask.typing import ResponseReturnValue

from app.auth import bp, second_factors
from app.auth.forms import AddressForm, ConfirmByCodeForm, ConfirmForm, LoginForm, RegisterForm
from app.auth.password_setup import credentials
from app.auth.second_factors import ProofRequest
from app.auth.services.sessions import SIGNED_OUT
from app.auth.sign_in_steps import confirm_session, new_password, sign_in
from app.auth.two_factor_views import ask_for_factor
from app.core import errors
from app.core.lengths import MAX_ADDRESS_LENGTH, MAX_NAME_LENGTH
from app.core.principal import Principal
from app.unit_of_work import reading, unit_of_work
from app.web import current_user, session_cookie
from app.web.access import by_oneself, open_in_maintenance, public, sets_up
from app.web.csrf import origin_suffices
from app.web.limits import limited
from app.web.pages import page
from app.web.parts import CONFIRM_WITHOUT_PASSWORD, PROOF, SIGN_IN, SIGN_UP, ShownPart, load_parts
from app.web.redirects import done, next_page, onward

REGISTERED_HERE = "registered"


@bp.route("/register", methods=["GET", "POST"])
@public
@limited("register")
def register() -> ResponseReturnValue:
    if current_user.principal():
        return redirect(url_for("account.profile"))
    if not reading().registration_open:
        return page("auth/registration_closed.html")
    form = RegisterForm()
    if form.validate_on_submit():
        with form.refusals(errors.WeakPassword):
            _register(form)
            return redirect(url_for("auth.check_your_mail"), code=303)
    return page("auth/register.html", form, ways=load_parts(SIGN_UP, reading(), None))


def _register(form: RegisterForm) -> None:
    email, name = form.email.canonical, form.name.clean
    password = new_password(form.password.data or "", words=(email, name))
    with unit_of_work() as work:
        work.registration.register(email=email, name=name, password=password)
        session[REGISTERED_HERE] = work.registration.proof(email=email, hashed=password.hashed)


@bp.get("/check-your-mail")
@public
def check_your_mail() -> ResponseReturnValue:
    """Show the same page for every email address after sign-up, resend and password reset."""
    return page(
        "auth/check_your_mail.html",
        heading="Check your email",
        text="If the address you entered is right, we've just sent you a link. Open it to continue.",
        can_resend=True,
    )


@bp.route("/resend-verification", methods=["GET", "POST"])
@public
@limited("mail")
def resend_verification() -> ResponseReturnValue:
    form = AddressForm()
    if form.validate_on_submit():
        with unit_of_work() as work:
            work.registration.resend(form.email.canonical)
        return redirect(url_for("auth.check_your_mail"), code=303)
    return page("auth/resend_verification.html", form)


@bp.route("/login", methods=["GET", "POST"])
@public
@open_in_maintenance
@limited("login")
def login() -> ResponseReturnValue:
    form = LoginForm(next=request.args.get("next"))
    who = current_user.principal()
    if who and request.method == "GET":
        session_cookie.keep_forward(who.account_id, who.session_id)
        return onward(form.next.data)
    unverified = False
    if form.validate_on_submit():
        try:
            sign_in(form.email.canonical, form.password.data or "", remember=bool(form.remember.data))
        except errors.SecondFactorRequired as required:
            return ask_for_factor(required, method="password", remember=bool(form.remember.data), target=form.next.data)
        except (errors.InvalidCredentials, errors.EmailNotVerified, errors.TryLater) as refusal:
            form.refuse(refusal)
            unverified = isinstance(refusal, errors.EmailNotVerified)
        else:
            return onward(form.next.data)
    return page(
        "auth/login.html",
        form,
        unverified=unverified,
        last_method=session_cookie.last_method(),
        proofs=load_parts(PROOF, reading(), None, ProofRequest(purpose=second_factors.SIGN_IN, next=form.next.data)),
        ways=load_parts(SIGN_IN, reading(), None),
    )


@bp.post("/logout")
@public
@open_in_maintenance
@origin_suffices
def logout() -> ResponseReturnValue:
    """Revoke the session on the server, where it may already have ended, and in the browser."""
    who = current_user.principal()
    if who is not None:
        try:
            with unit_of_work() as work:
                work.sessions.revoke(who.session_id, user_id=who.account_id, reason=SIGNED_OUT)
        except errors.SessionNotFound:
            pass
    session_cookie.drop_session()
    response = make_response(done("You're signed out.", to="auth.login"))
    response.headers["Clear-Site-Data"] = '"cache", "storage"'
    return response


@bp.route("/confirm", methods=["GET", "POST"])
@sets_up
@by_oneself
@open_in_maintenance
@limited("password")
def confirm() -> ResponseReturnValue:
    """Ask again who it is before a sensitive action: by a second factor where one is set, or else by the password."""
    who = current_user.signed_in()
    by_code = reading().factors.has_any(who.user_id)
    form = (ConfirmByCodeForm if by_code else ConfirmForm)(next=request.args.get("next"))
    if form.validate_on_submit():
        field = "code" if by_code else "password"
        with form.refusals(errors.WrongPassword, errors.WrongCode, errors.AuthenticatorLocked):
            confirm_session(who, **{"password": "", "code": "", field: form[field].data or ""})
            return redirect(next_page(form.next.data, otherwise="account.profile"))
    sources = reading().factors.list_code_sources(who.user_id)
    if by_code and not sources:
        form.code.takes_recovery_only()
    proof_request = ProofRequest(purpose=second_factors.CONFIRM, user_id=who.user_id, next=form.next.data)
    return page(
        "auth/confirm.html",
        form,
        by_code=by_code,
        sources=sources,
        ways=None if by_code else _without_password(who),
        proofs=load_parts(PROOF, reading(), who, proof_request),
    )


def _without_password(who: Principal) -> list[ShownPart] | None:
    """Return how a user without a password can confirm their identity; None for a user with a password."""
    services = reading()
    if services.users.has_password(who.user_id):
        return None
    return load_parts(CONFIRM_WITHOUT_PASSWORD, services, who)


@bp.post("/password-strength")
@public
@limited("strength")
def password_strength() -> ResponseReturnValue:
    """Return the strength of a password for the meter of a form."""
    who = current_user.principal()
    words = (
        request.form.get("email", "")[:MAX_ADDRESS_LENGTH],
        request.form.get("name", "")[:MAX_NAME_LENGTH],
        who.email if who else "",
        who.name if who else "",
    )
    strength = credentials.policy.estimate(request.form.get("password", "")[:256], words=words)
    return jsonify(score=strength.score, advice=strength.advice)
