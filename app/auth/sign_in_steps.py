"""Sign-in, and checks of passwords and codes: count the attempt, hash without a transaction, apply the result."""

from collections.abc import Callable
from datetime import datetime

from flask import flash
from sqlalchemy.exc import ProgrammingError

from app.auth.password_setup import credentials
from app.auth.passwords import PasswordMatch
from app.auth.recovery_codes import RECOVERY_LENGTH, as_recovery_code, plain
from app.auth.second_factors import ProvedFactor
from app.auth.services.password_policy import NewPassword
from app.auth.services.sign_in import Attempt, Authentication, SignedIn
from app.core import errors
from app.core.database import DATABASE_AWAY
from app.core.extensions import db, features
from app.core.principal import Principal
from app.unit_of_work import Work, reading, unit_of_work
from app.users.time_zones import local_time, zone_named
from app.web import current_user, session_cookie
from app.web.viewer import browser_zone


def begin_session(prove: Callable[[Work], Authentication], *, trust: bool = False) -> None:
    """Start a session in this browser: the only way, for passwords, second factors, passkeys and providers.

    `prove` is called in the transaction that starts the session, so what it spends is spent together with it. The
    browser's earlier session ends. With `trust`, this browser skips the second factor for some time. Raises the
    exceptions of `prove` and SignIn.begin_session.
    """
    previous, visit = current_user.principal(), current_user.visit()
    with unit_of_work() as work:
        proved = prove(work)
        signed_in = work.sign_in.begin_session(proved, visit=visit)
        if trust and signed_in.device_token:
            work.factors.trust(signed_in.user_id, signed_in.device_token, visit=visit)
        if previous is not None:
            work.sessions.replace(previous)
    session_cookie.keep_session(signed_in, remember=proved.remember)
    _greet(signed_in)
    if features().label_methods():
        session_cookie.keep_method(proved.method)


def _greet(signed_in: SignedIn) -> None:
    """Show when the user signed in before, and store the time zone of the browser for a user without one."""
    services, user_id = reading(), signed_in.user_id
    try:
        zone = services.profile.find_time_zone(user_id)
        if zone is None and (zone := browser_zone()):
            with unit_of_work() as work:
                work.profile.set_time_zone(user_id, zone, first=True)
        earlier = services.audit.find_sign_in(user_id, before=signed_in.session_id)
    except (*DATABASE_AWAY, ProgrammingError):  # Perhaps before the migration. The session has begun in any case.
        db.session.rollback()
        return
    if earlier is not None:
        place = f" from {earlier.address}" if earlier.address else ""
        flash(f"Last sign-in: {local_time(earlier.at, zone_named(zone))}{place}.", "info")


def sign_in(email: str, password: str, *, remember: bool) -> None:
    """Begin a session in this browser by a password. `email` is canonical.

    Raises InvalidCredentials, EmailNotVerified, TooManyTries, Busy, SecondFactorRequired.
    """
    proved = _prove_password(email, password, remember=remember)
    begin_session(lambda _: proved)


def open_session(email: str, password: str, *, code: str | None, remember: bool) -> SignedIn:
    """Begin a session for a program, which uses it with tokens. Raises as `sign_in` does, and as `check_code`."""
    visit = current_user.visit()
    proved = _prove_password(email, password, remember=remember)
    try:
        with unit_of_work() as work:
            return work.sign_in.begin_session(proved, visit=visit, in_browser=False)
    except errors.SecondFactorRequired as required:
        if code is None:
            raise
        factor = check_code(required.user_id, code)
        proved = Authentication(
            required.user_id, "password", remember=remember, factor=factor, first_factor=required.proof
        )
    with unit_of_work() as work:
        return work.sign_in.begin_session(proved, visit=visit, in_browser=False)


def _prove_password(email: str, password: str, *, remember: bool) -> Authentication:
    """Raises InvalidCredentials, TooManyTries, Busy."""
    with unit_of_work() as work:
        attempt = work.sign_in.start_attempt(email, visit=current_user.visit())
    verdict = _verdict(attempt, password)
    if not verdict or attempt.user_id is None:
        with unit_of_work() as work:
            raise work.sign_in.refuse(attempt)
    new_hash = _hash_anew(password) if verdict is PasswordMatch.OUTDATED else None
    return Authentication(attempt.user_id, "password", remember=remember, attempt=attempt, new_hash=new_hash)


def confirm_session(who: Principal, *, password: str, code: str) -> None:
    """Confirm the session of `who`: by a code where there is a second factor, or else by the password.

    Raises WrongPassword, WrongCode, AuthenticatorLocked, TooManyTries, Busy, SessionNotFound.
    """
    added_at = None
    if reading().factors.has_any(who.user_id):
        added_at = check_code(who.user_id, code).added_at
    else:
        check_password(who.user_id, password, purpose="confirm")
    with unit_of_work() as work:
        token = work.sessions.confirm(who, factor_added_at=added_at)
    if who.via == "cookie":
        session_cookie.keep_token(token)


def check_code(user_id: int, typed: str, *, at: datetime | None = None) -> ProvedFactor:
    """Accept a code as the second factor of `user_id`, once: for example of an authenticator app, or a recovery code.

    With `at`, only factors set up before that time count, including an app that was replaced since. Raises WrongCode,
    AuthenticatorLocked, TooManyTries, Busy.
    """
    code, device_token = plain(typed), current_user.visit().device_token
    if len(code) < RECOVERY_LENGTH:
        with unit_of_work() as work:
            return work.factors.use_code(user_id, code, device_token=device_token, at=at)
    with unit_of_work() as work:
        attempt = work.factors.begin_recovery(user_id, device_token=device_token, at=at)
    right = as_recovery_code(code)
    try:
        hashed = credentials.passwords.derive([right], like=attempt.like)[0] if right else None
    except errors.Busy:
        with unit_of_work() as work:
            work.factors.refund(user_id, attempt, at=at)
        raise
    with unit_of_work() as work:
        return work.factors.use_recovery(user_id, attempt, hashed, at=at)


def check_password(user_id: int, password: str, *, purpose: str) -> str | None:
    """Return the stored hash that `password` matches. Raises WrongPassword, TooManyTries, Busy."""
    with unit_of_work() as work:
        attempt = work.sign_in.begin_for(user_id, purpose=purpose)
    if not _verdict(attempt, password):
        with unit_of_work() as work:
            raise work.sign_in.refuse(attempt, failures_of=purpose)
    with unit_of_work() as work:
        work.sign_in.accept(attempt)
    return attempt.hashed


def _verdict(attempt: Attempt, password: str) -> PasswordMatch:
    """Raises Busy, and then refunds the try: the password was not checked."""
    try:
        return credentials.passwords.verify(attempt.hashed, password)
    except errors.Busy:
        with unit_of_work() as work:
            work.sign_in.accept(attempt)
        raise


def _hash_anew(password: str) -> str | None:
    """Return a new hash; None if no slot is free, and the next sign-in tries again."""
    try:
        return credentials.passwords.hash(password)
    except errors.Busy:
        return None


def new_password(password: str, *, words: tuple[str, ...]) -> NewPassword:
    """Return a password that passed the policy, hashed. Raises WeakPassword, Busy."""
    return credentials.policy.prepare(password, words=words)
