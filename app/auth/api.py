"""Sign-up, sign-in and token endpoints."""

from datetime import timedelta

from app.api import bp
from app.api.endpoint import endpoint
from app.api.responses import Answer
from app.auth.access_tokens import Access, sign
from app.auth.models import Purpose
from app.auth.schemas import (
    ConfirmIn,
    EmailIn,
    LoginIn,
    PairOut,
    RefreshIn,
    RegisterIn,
    ResetPasswordIn,
    TokensOut,
    VerifyEmailIn,
)
from app.auth.services.password_policy import NewPassword
from app.auth.services.sessions import SIGNED_OUT
from app.auth.sign_in_steps import check_password, confirm_session, new_password, open_session
from app.core import errors
from app.core.extensions import now, settings
from app.unit_of_work import reading, unit_of_work
from app.users.schemas import UserOut, plain_user
from app.web import current_user, session_cookie
from app.web.access import by_oneself, open_in_maintenance, public
from app.web.limits import limited

SENT = "If the email address is right, we've sent a link to it."


@bp.post("/v1/auth/register")
@public
@limited("register")
@endpoint(
    None, status=202, body=RegisterIn, refuses=(errors.RegistrationClosed, errors.WeakPassword, errors.Busy), tag="auth"
)
def register(body: RegisterIn) -> Answer:
    """Sign up. The response is the same for known and unknown email addresses. An email explains what to do next."""
    if not reading().registration_open:
        raise errors.RegistrationClosed
    password = _chosen(body.password, words=(body.email, body.name))
    with unit_of_work() as work:
        work.registration.register(email=body.email, name=body.name, password=password)
    return Answer(message=SENT, status=202)


@bp.post("/v1/auth/verify-email")
@public
@limited("link")
@endpoint(
    None,
    body=VerifyEmailIn,
    refuses=(errors.WrongPassword, errors.InvalidLink, errors.RegistrationClosed, errors.Busy),
    tag="auth",
)
def verify_email(body: VerifyEmailIn) -> Answer:
    """Confirm an email address with the token from the email and the chosen password."""
    _, user = reading().registration.get_candidate(body.token)
    seen = check_password(user.id, body.password, purpose="verify_email")
    with unit_of_work() as work:
        work.registration.verify(body.token, seen_hash=seen)
    return Answer(message="Email address confirmed.")


@bp.post("/v1/auth/login")
@public
@open_in_maintenance
@limited("login")
@endpoint(
    TokensOut,
    body=LoginIn,
    refuses=(
        errors.InvalidCredentials,
        errors.SecondFactorRequired,
        errors.WrongCode,
        errors.AuthenticatorLocked,
        errors.EmailNotVerified,
        errors.NotUsable,
        errors.Busy,
    ),
    tag="auth",
)
def login(body: LoginIn) -> TokensOut:
    """Sign in. With a second factor, `code` is a code of the authenticator app, or a recovery code."""
    signed_in = open_session(body.email, body.password, code=body.code, remember=True)
    with unit_of_work() as work:
        refresh_token = work.refresh_tokens.start(signed_in.session_id)
    access_token, seconds = _access_token(signed_in.user_id, signed_in.session_id)
    user = reading().user_search.find(signed_in.user_id)
    if user is None:  # The session was deleted in the meantime.
        raise errors.InvalidCredentials
    return TokensOut(
        access_token=access_token,
        expires_in=seconds,
        refresh_token=refresh_token,
        user=UserOut(**plain_user(user)),
    )


@bp.post("/v1/auth/refresh")
@public
@open_in_maintenance
@limited("refresh")
@endpoint(PairOut, body=RefreshIn, refuses=(errors.BadRefreshToken, errors.TokenReused), tag="auth")
def refresh(body: RefreshIn) -> PairOut:
    """Get new tokens. A refresh token works once. Using it again after 30 seconds ends the session."""
    with unit_of_work() as work:
        refreshed = work.refresh_tokens.refresh(body.refresh_token)
    access_token, seconds = _access_token(refreshed.user_id, refreshed.session_id)
    return PairOut(access_token=access_token, expires_in=seconds, refresh_token=refreshed.refresh_token)


@bp.post("/v1/auth/confirm")
@open_in_maintenance
@by_oneself
@limited("password")
@endpoint(
    None,
    body=ConfirmIn,
    refuses=(
        errors.WrongPassword,
        errors.SecondFactorRequired,
        errors.WrongCode,
        errors.AuthenticatorLocked,
        errors.Busy,
    ),
    tag="auth",
)
def confirm(body: ConfirmIn) -> Answer:
    """Confirm your identity before sensitive actions, like assigning roles or deleting users. Lasts a few minutes.

    With a second factor, send `code`: a code of the authenticator app, or a recovery code. Without one, `password`.
    """
    who = current_user.signed_in()
    if body.code is None and reading().factors.has_any(who.user_id):
        raise errors.SecondFactorRequired(who.user_id, "")
    confirm_session(who, password=body.password or "", code=body.code or "")
    return Answer(message="Confirmed.")


@bp.post("/v1/auth/logout")
@open_in_maintenance
@endpoint(None, tag="auth")
def logout() -> Answer:
    """Sign out. Revokes the session's access and refresh tokens immediately. API keys are revoked by ID."""
    who = current_user.signed_in()
    if who.session_id:
        with unit_of_work() as work:
            work.sessions.revoke(who.session_id, user_id=who.account_id, reason=SIGNED_OUT)
        if who.via == "cookie":
            session_cookie.drop_session()
    return Answer(message="You're signed out.")


@bp.post("/v1/auth/forgot-password")
@public
@limited("mail")
@endpoint(None, status=202, body=EmailIn, tag="auth")
def forgot_password(body: EmailIn) -> Answer:
    """Request a password reset link. The response is the same for known and unknown email addresses."""
    with unit_of_work() as work:
        work.password_reset.request(body.email)
    return Answer(message=SENT, status=202)


@bp.post("/v1/auth/reset-password")
@public
@limited("link")
@endpoint(
    None,
    body=ResetPasswordIn,
    refuses=(errors.InvalidLink, errors.WeakPassword, errors.RegistrationClosed, errors.Busy),
    tag="auth",
)
def reset_password(body: ResetPasswordIn) -> Answer:
    """Set a new password with the token of the link. Signs the user out everywhere."""
    reading().links.get_live(body.token, Purpose.RESET_PASSWORD)
    owner = reading().password_reset.get_owner(body.token)
    new = _chosen(body.password, words=(owner.email, owner.name))
    with unit_of_work() as work:
        work.password_reset.reset(body.token, password=new)
    return Answer(message="Password changed.")


def _chosen(password: str, *, words: tuple[str, ...]) -> NewPassword:
    with errors.at_field("password", errors.WeakPassword):
        return new_password(password, words=words)


def _access_token(user_id: int, session_id: int) -> tuple[str, int]:
    """A new access token, and its lifetime in seconds."""
    of, lifetime = settings(), timedelta(minutes=settings().access_token_minutes)
    token = sign(
        Access(user_id, session_id),
        secret_key=of.signing_keys[0],
        issuer=of.public_url,
        at=now(),
        lifetime=lifetime,
    )
    return token, int(lifetime.total_seconds())
