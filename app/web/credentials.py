"""Passwords as entry points ask for them: a counted try, the slow hash with no transaction open, then the effect."""

from __future__ import annotations

from app.errors import Busy
from app.extensions import credentials
from app.principal import Principal
from app.security.passwords import Verdict
from app.security.tokens import new_token
from app.services.password_policy import NewPassword
from app.services.sign_in import Attempt, SignedIn
from app.unit_of_work import unit_of_work
from app.web import identity


def sign_in(email: str, password: str, *, remember: bool) -> SignedIn:
    """Begin a session and let this browser hold it. `email` is canonical.

    Raises InvalidCredentials, EmailNotVerified, TooManyTries, Busy.
    """
    return _sign_in(email, password, remember=remember, previous=identity.principal(), in_browser=True)


def open_session(email: str, password: str, *, remember: bool) -> SignedIn:
    """Begin a session for a program, which holds it by its tokens. Raises as `sign_in` does."""
    return _sign_in(email, password, remember=remember, previous=None, in_browser=False)


def _sign_in(email: str, password: str, *, remember: bool, previous: Principal | None, in_browser: bool) -> SignedIn:
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
        # A token that this account does not know could be one that somebody else has put there.
        device = identity.device_token() if attempt.is_known_device else new_token()
    with unit_of_work() as work:
        if previous is not None:
            work.sessions.replace(previous)
        signed_in = work.sign_in.finish(attempt, visit=visit, remember=remember, device_token=device, new_hash=new_hash)
    if device is not None:
        identity.keep_session(signed_in, remember=remember, device=device)
    return signed_in


def check_password(user_id: int, password: str, *, purpose: str) -> str | None:
    """Returns the stored hash that `password` fits. Raises WrongPassword, TooManyTries, Busy."""
    with unit_of_work() as work:
        attempt = work.sign_in.begin_for(user_id, purpose=purpose)
    if not _verdict(attempt, password):
        with unit_of_work() as work:
            raise work.sign_in.refuse(attempt, failures_of=purpose)
    with unit_of_work() as work:
        work.sign_in.accept(attempt)
    return attempt.hashed


def _verdict(attempt: Attempt, password: str) -> Verdict:
    """Raises Busy, and then the try does not count: nobody has looked at the password."""
    try:
        return credentials.passwords.verify(attempt.hashed, password)
    except Busy:
        with unit_of_work() as work:
            work.sign_in.accept(attempt)
        raise


def _hash_anew(password: str) -> str | None:
    """None when there is no slot for it now; the next sign-in will do."""
    try:
        return credentials.passwords.hash(password)
    except Busy:
        return None


def new_password(password: str, *, words: tuple[str, ...]) -> NewPassword:
    """A password that passed the policy, hashed. Raises WeakPassword, Busy."""
    return credentials.policy.prepare(password, words=words)
