"""Pages behind the links in emails."""

from flask import redirect, request, session, url_for
from flask.typing import ResponseReturnValue

from app.auth import bp
from app.auth.access import Words
from app.auth.forms import (
    AccountPasswordForm,
    AddressForm,
    ButtonForm,
    ConfirmByCodeForm,
    ResetPasswordForm,
)
from app.auth.link_pages import link_form, link_page
from app.auth.models import Purpose
from app.auth.second_factors import UNDO, ProofRequest, ProvedFactor
from app.auth.services.additions import Addition
from app.auth.services.sign_in import Authentication
from app.auth.sign_in_steps import begin_session, check_code, check_password, new_password
from app.auth.views import REGISTERED_HERE
from app.core import errors
from app.core.extensions import features
from app.core.tokens import new_token
from app.unit_of_work import reading, unit_of_work
from app.web import current_user, session_cookie
from app.web.access import ask_to_confirm, is_fresh, public
from app.web.limits import limited
from app.web.pages import page
from app.web.parts import PROOF, load_parts
from app.web.redirects import done, drop_link, link_handle

RESET_OF = "reset_of"


@link_page(
    Purpose.VERIFY_EMAIL,
    opener="open_verification",
    again="auth.login",
    text="Sign in",
    # Most users who see this have already confirmed.
    why="Your email address may already be confirmed, so try to sign in. If that doesn't work, get a new link.",
    other="auth.resend_verification",
    other_text="Get a new link",
)
def verify_email(token: str) -> ResponseReturnValue:
    link, user = reading().registration.get_candidate(token)
    is_same_browser = reading().registration.is_proof(session.get(REGISTERED_HERE), user)
    form = ButtonForm() if is_same_browser else AccountPasswordForm()
    if form.validate_on_submit():
        with form.refusals(errors.WrongPassword):
            seen = user.hashed_password
            if isinstance(form, AccountPasswordForm):
                seen = check_password(user.id, form.password.data or "", purpose="verify_email")
            _verify(token, seen)
            return done("Email address confirmed. You're signed in.", to="account.profile")
    return link_form("auth/verify_email.html", form, token, address=link.address, asks_password=not is_same_browser)


def _verify(token: str, seen_hash: str | None) -> None:
    """Confirm the address and sign in: the mailbox is proved by the link, the password by its text or by the browser
    that chose it.
    """
    try:
        begin_session(lambda work: Authentication(work.registration.verify(token, seen_hash=seen_hash).id, "password"))
    except errors.NotUsable:
        raise errors.InvalidLink from None
    drop_link(token, Purpose.VERIFY_EMAIL)


@bp.route("/forgot-password", methods=["GET", "POST"])
@public
@limited("mail")
def forgot_password() -> ResponseReturnValue:
    form = AddressForm()
    if form.validate_on_submit():
        with unit_of_work() as work:
            work.password_reset.request(form.email.canonical)
        return redirect(url_for("auth.check_your_mail"), code=303)
    return page("auth/forgot_password.html", form)


@link_page(Purpose.RESET_PASSWORD, opener="open_reset_link", again="auth.forgot_password", text="Get a new link")
def reset_password(token: str) -> ResponseReturnValue:
    form, owner = ResetPasswordForm(), reading().password_reset.get_owner(token)
    if form.validate_on_submit():
        with form.refusals(errors.WeakPassword):
            _reset(token, form.password.data or "", words=(owner.email, owner.name))
            return _after_reset(owner.id)
    return link_form("auth/reset_password.html", form, token, address=owner.email)


def _after_reset(user_id: int) -> ResponseReturnValue:
    if not reading().additions.list_ways_in(user_id):
        return done("Password changed. You can now sign in.", to="auth.login")
    session[RESET_OF] = user_id
    return redirect(url_for("auth.password_changed"))


@bp.get("/password-changed")
@public
def password_changed() -> ResponseReturnValue:
    """Show once, after a reset, the other ways to sign in: an attacker may have added some."""
    user_id = session.pop(RESET_OF, None)
    if not isinstance(user_id, int):
        return redirect(url_for("auth.login"))
    return page("auth/password_changed.html", ways=reading().additions.list_ways_in(user_id))


def _reset(token: str, password: str, *, words: tuple[str, ...]) -> None:
    new = new_password(password, words=words)
    device = new_token()
    with unit_of_work() as work:
        work.password_reset.reset(token, password=new, device_token=device)
    session_cookie.drop_session()
    session_cookie.keep_device(device)


@link_page(Purpose.CHANGE_EMAIL, opener="open_email_change", again="account.email", text="Go to your account")
def confirm_email_change(token: str) -> ResponseReturnValue:
    change = reading().profile.get_change(token, Purpose.CHANGE_EMAIL)
    # The mailbox alone is not enough: its owner would take over an account that is not theirs.
    who = current_user.principal()
    is_owner = who is not None and who.user_id == change.user_id
    if who is not None and is_owner and not is_fresh(who):
        return ask_to_confirm()
    if not is_owner and _must_sign_in(change.user_id):
        return redirect(url_for("auth.login", next=url_for("auth.confirm_email_change")))
    form = ButtonForm() if is_owner else AccountPasswordForm()
    if form.validate_on_submit():
        with form.refusals(errors.WrongPassword, errors.EmailTaken):
            if isinstance(form, AccountPasswordForm):
                check_password(change.user_id, form.password.data or "", purpose="confirm_email_change")
            with unit_of_work() as work:
                work.profile.confirm_email_change(token)
            drop_link(token, Purpose.CHANGE_EMAIL)
            return done("Email address changed.", to="account.profile")
    return link_form(
        "auth/confirm_email_change.html", form, token, address=change.new_email, asks_password=not is_owner
    )


def _must_sign_in(user_id: int) -> bool:
    """Return whether a password alone proves too little: there is a second factor, or no password."""
    services = reading()
    return services.factors.has_any(user_id) or not services.users.has_password(user_id)


@link_page(Purpose.UNDO_EMAIL_CHANGE, opener="open_undo_link", again="auth.forgot_password", text="Reset your password")
def undo_email_change(token: str) -> ResponseReturnValue:
    form, change = ButtonForm(), reading().profile.get_change(token, Purpose.UNDO_EMAIL_CHANGE)
    if form.validate_on_submit():
        with form.refusals(errors.EmailTaken):
            with unit_of_work() as work:
                work.profile.undo_email_change(token)
            session_cookie.drop_session()
            text = "Email address restored. Everyone was signed out. Choose a new password now."
            return done(text, to="auth.forgot_password")
    return link_form("auth/undo_email_change.html", form, token, address=change.old_email)


# What the page says about a factor that has been removed meanwhile.
GONE = Words("", "A second factor that has since been removed", "Secure account", "Account secured.")


@link_page(
    Purpose.UNDO_ADDITION,
    opener="open_undo_addition",
    again="auth.forgot_password",
    text="Reset your password",
    limit="login",
)
def undo_addition(token: str) -> ResponseReturnValue:
    """Remove a new way in to an account, with a second factor from before it where there is one."""
    addition = reading().additions.get(token)
    words = addition.words or GONE
    form = ConfirmByCodeForm() if addition.older else ButtonForm()
    credential = request.form.get("credential") if addition.older else None
    if request.method == "POST" and (credential or form.validate()):
        code = form["code"].data or "" if addition.older else ""
        with form.refusals(errors.WrongCode, errors.AuthenticatorLocked, errors.FactorRefused, errors.FactorNeeded):
            _undo(token, addition, credential=credential, code=code)
            return done(
                f"{words.undone} Everyone was signed out. Choose a new password now.", to="auth.forgot_password"
            )
    if addition.older and not addition.code_sources:
        form["code"].takes_recovery_only()
    owner = reading().users.get(addition.user_id, deleted=True)
    link = link_handle(token)
    proof_request = ProofRequest(purpose=UNDO, user_id=owner.id, before=addition.at, link=link)
    proofs = load_parts(PROOF, reading(), None, proof_request) if addition.older else []
    return page(
        "auth/undo_addition.html",
        form,
        link=link,
        addition=addition,
        address=owner.email,
        words=words,
        proofs=proofs,
    )


def _undo(token: str, addition: Addition, *, credential: str | None, code: str) -> None:
    """Raises FactorRefused, WrongCode, AuthenticatorLocked, TryLater, FactorNeeded, Busy, InvalidLink."""
    proved = None
    if credential:
        proved = _verify_response(credential, addition)
    elif addition.older:
        proved = check_code(addition.user_id, code, at=addition.at)
    with unit_of_work() as work:
        work.additions.undo(token, proved=proved)
    session_cookie.drop_session()


def _verify_response(response: str, addition: Addition) -> ProvedFactor:
    """Accept what the browser sent for one of the factors from before the addition. Raises FactorRefused."""
    kinds = [features().factors.get(factor.kind) for factor in addition.older]
    verify = next((kind.verify_response for kind in kinds if kind is not None and kind.verify_response), None)
    if verify is None:
        raise errors.FactorRefused
    return verify(response, UNDO, addition.user_id)
