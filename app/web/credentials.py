"""Password checks for the entry points: count the try, hash with no transaction open, then apply the result."""

from __future__ import annotations

from app.errors import Busy, SecondFactorRequired
from app.extensions import credentials
from app.principal import Principal
from app.security.codes import RECOVERY_LENGTH, as_recovery_code, plain
from app.security.passwords import Verdict
from app.security.tokens import new_token
from app.services.password_policy import NewPassword
from app.services.sign_in import Attempt, SignedIn
from app.unit_of_work import unit_of_work
from app.web import identity


def sign_in(email: str, password: str, *, remember: bool) -> SignedIn:
    """Begin a session in this browser. `email` is canonical.

    Raises InvalidCredentials, EmailNotVerified, TooManyTries, Busy.
    """
    return _sign_in(email, password, remember=remember, previous=identity.principal(), in_browser=True)


def open_session(email: str, password: str, *, code: str | None, remember: bool) -> SignedIn:
    """Begin a session for a program, which uses it with tokens. Raises as `sign_in` does, and as `check_code`."""
    return _sign_in(email, password, remember=remember, previous=None, in_browser=False, code=code)


def _sign_in(
    email: str, password: str, *, remember: bool, previous: Principal | None, in_browser: bool, code: str | None = None
) -> SignedIn:
    visit = identity.visit()
    with unit_of_work() as work:
        attempt = work.sign_in.begin(email, visit=visit)
    verdict = _verdict(attempt, password)
    if not verdict:
        with unit_of_work() as work:
            raise work.sign_in.refuse(attempt)
    new_hash = _hash_anew(password) if verdict is Verdict.OUTDATED else None
    device = None
    if in_browser:
        # A token unknown to this account could have been planted by somebody else.
        device = identity.device_token() if attempt.is_known_device else new_token()
    signed_in = None
    try:
        with unit_of_work() as work:
            signed_in = work.sign_in.finish(
                attempt, visit=visit, remember=remember, device_token=device, new_hash=new_hash
            )
            if previous is not None:
                work.sessions.replace(previous)
    except SecondFactorRequired as half:
        if code is None:
            raise
        check_code(half.user_id, code)
        with unit_of_work() as work:
            signed_in = work.sign_in.finish_elsewhere(
                half.user_id, visit=visit, device_token=None, method="password", remember=remember, proof=half.proof
            )
    if device is not None:
        identity.keep_session(signed_in, remember=remember, device=device)
    return signed_in


def check_code(user_id: int, typed: str) -> None:
    """Accept a code as the second factor of `user_id`, once: of an authenticator app, or a recovery code.

    Raises WrongCode, AuthenticatorLocked, TooManyTries, Busy.
    """
    code = plain(typed)
    if len(code) < RECOVERY_LENGTH:
        with unit_of_work() as work:
            work.factors.use_totp(user_id, code)
        return
    with unit_of_work() as work:
        attempt = work.factors.begin_recovery(user_id)
    right = as_recovery_code(code)
    try:
        hashed = credentials.passwords.derive([right], like=attempt.like)[0] if right else None
    except Busy:
        with unit_of_work() as work:
            work.factors.refund(attempt)
        raise
    with unit_of_work() as work:
        work.factors.use_recovery(user_id, attempt, hashed)


def check_password(user_id: int, password: str, *, purpose: str) -> str | None:
    """Returns the stored hash that `password` matches. Raises WrongPassword, TooManyTries, Busy."""
    with unit_of_work() as work:
        attempt = work.sign_in.begin_for(user_id, purpose=purpose)
    if not _verdict(attempt, password):
        with unit_of_work() as work:
            raise work.sign_in.refuse(attempt, failures_of=purpose)
    with unit_of_work() as work:
        work.sign_in.accept(attempt)
    return attempt.hashed


def _verdict(attempt: Attempt, password: str) -> Verdict:
    """Raises Busy, and then refunds the try: the password was not checked."""
    try:
        return credentials.passwords.verify(attempt.hashed, password)
    except Busy:
        with unit_of_work() as work:
            work.sign_in.accept(attempt)
        raise


def _hash_anew(password: str) -> str | None:
    """None if there is no slot now; the next sign-in renews the hash."""
    try:
        return credentials.passwords.hash(password)
    except Busy:
        return None


def new_password(password: str, *, words: tuple[str, ...]) -> NewPassword:
    """A password that passed the policy, hashed. Raises WeakPassword, Busy."""
    return credentials.policy.prepare(password, words=words)
