"""Sign-in by password, in two transactions; the slow hash runs between them, with none open."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, update

from app.audit.services.log import AuditLog
from app.auth.emails.sign_in import SendFailedSignIns, SendNewDevice
from app.auth.models import Device
from app.auth.second_factors import ProvedFactor
from app.auth.services.factors import Factors
from app.auth.services.sessions import Sessions
from app.auth.services.throttles import Throttles
from app.core import errors
from app.core.principal import Visit
from app.core.service import Service
from app.core.tokens import is_same, keyed_hash, new_token, token_hash
from app.jobs.services.queue import JobQueue
from app.users.models import User
from app.users.services.users import Users

TELL_THE_OWNER_AT = 10


@dataclass(frozen=True, slots=True)
class Attempt:
    """A counted attempt, with the hash that the entry point verifies the password against, without a transaction."""

    throttle_id: int
    user_id: int | None
    hashed: str | None
    is_known_device: bool = False


@dataclass(frozen=True, slots=True)
class Authentication:
    """The proof of identity for a new session.

    `method` is `password`, `passkey` or a provider's name. `attempt` belongs to a password, `new_hash` replaces a hash
    with outdated parameters. `factor` is the second factor; a passkey that has verified its user counts as one.
    `first_factor` is the proof of SecondFactorRequired, valid until the password changes.
    """

    user_id: int
    method: str
    remember: bool = False
    attempt: Attempt | None = None
    new_hash: str | None = None
    factor: ProvedFactor | None = None
    first_factor: str | None = None


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A new session. `token` and `device_token` (None for a program) are for its browser only."""

    user_id: int
    session_id: int
    token: str
    device_token: str | None


class SignIn(Service):
    audit: AuditLog
    factors: Factors
    job_queue: JobQueue
    secret_keys: Sequence[str]
    sessions: Sessions
    throttles: Throttles
    users: Users

    def start_attempt(self, email: str, *, visit: Visit) -> Attempt:
        """Count a try at `email` (canonical), known or not. Raises TooManyTries.

        Unknown browsers share one counter for each account; a browser that has signed in to it before has its own,
        so that attackers can slow down one another but never the owner.
        """
        device = token_hash(visit.device_token or "")
        # One statement, whether or not there is a cookie and an account: the time must not differ.
        user = self.session.execute(
            select(User.id, User.hashed_password, Device.id.label("device_id"))
            .outerjoin(Device, (Device.user_id == User.id) & (Device.token_hash == device))
            .where(User.email == email)
        ).first()
        is_known = user is not None and user.device_id is not None
        key = f"device:{user.id}:{device}" if user is not None and is_known else f"account:{email}"
        throttle = self.throttles.charge(key, user_id=user.id if user else None)
        return Attempt(
            throttle.id, user.id if user else None, user.hashed_password if user else None, is_known_device=is_known
        )

    def begin_for(self, user_id: int, *, purpose: str) -> Attempt:
        """Count a try at the password of a signed-in user (to confirm, to change). Raises TooManyTries."""
        hashed = self.session.execute(select(User.hashed_password).where(User.id == user_id)).first()
        if hashed is None:
            raise errors.UserNotFound
        throttle = self.throttles.charge(f"{purpose}:{user_id}", user_id=user_id)
        return Attempt(throttle.id, user_id, hashed.hashed_password)

    def refuse(
        self, attempt: Attempt, *, failures_of: str = "session"
    ) -> errors.InvalidCredentials | errors.WrongPassword:
        """Record a wrong password, notify the owner after many, and return the exception to raise."""
        self.audit.record(f"{failures_of}.refused", subject_id=attempt.user_id)
        failures = self.throttles.failures(attempt.throttle_id)
        if failures >= TELL_THE_OWNER_AT:
            self.job_queue.enqueue(
                SendFailedSignIns(throttle_id=attempt.throttle_id),
                dedupe_key=f"failed-sign-ins:{attempt.throttle_id}:{self.job_queue.today()}",
            )
        return errors.InvalidCredentials() if failures_of == "session" else errors.WrongPassword()

    def accept(self, attempt: Attempt) -> None:
        """Refund the attempt after a correct password."""
        self.throttles.refund(attempt.throttle_id)

    def begin_session(self, proved: Authentication, *, visit: Visit, in_browser: bool = True) -> SignedIn:
        """Start a session: the only way, for every kind of proof. Without `in_browser`, no device is remembered.

        Raises InvalidCredentials (after a password) or NotUsable if the account or its password has changed since,
        EmailNotVerified, SecondFactorRequired.
        """
        user = self.session.execute(
            select(User.hashed_password, User.is_active, User.email_verified_at, User.deleted_by_owner)
            .where(User.id == proved.user_id)
            .with_for_update(key_share=True)  # Serialises with a simultaneous reset or deactivation.
        ).first()
        if user is None or not _may_be_usable(user) or self._is_outdated(proved, user.hashed_password):
            raise self._refusal(proved)
        if proved.attempt is not None:
            self.accept(proved.attempt)
        if user.email_verified_at is None:
            raise self._refusal_unverified(proved)
        if proved.new_hash:
            self.session.execute(update(User).where(User.id == proved.user_id).values(hashed_password=proved.new_hash))
        has_skipped_factor = False
        if proved.factor is None or proved.factor.user_id != proved.user_id:
            hashed = proved.new_hash or user.hashed_password
            has_skipped_factor = self._skip_factor(
                proved.user_id, hashed, device_token=visit.device_token if in_browser else None
            )
        if not self._is_usable(user, proved.user_id):
            raise self._refusal(proved)
        return self._open(proved, visit=visit, in_browser=in_browser, is_confirmed=not has_skipped_factor)

    def _is_outdated(self, proved: Authentication, hashed: str | None) -> bool:
        """Return whether the password has changed since it, or its substitute, was verified."""
        if proved.attempt is not None:
            return hashed != proved.attempt.hashed
        return proved.first_factor is not None and not is_same(proved.first_factor, self._proof(proved.user_id, hashed))

    def _refusal(self, proved: Authentication) -> errors.InvalidCredentials | errors.WrongPassword | errors.NotUsable:
        if proved.attempt is not None:
            return self.refuse(proved.attempt)
        self.audit.record("session.refused", subject_id=proved.user_id, method=proved.method)
        return errors.NotUsable()

    def _refusal_unverified(self, proved: Authentication) -> Exception:
        """Return the refusal that reveals an unconfirmed address, only after the right password."""
        if proved.attempt is None:
            return self._refusal(proved)
        self.audit.record("session.refused_unverified", subject_id=proved.user_id)
        return errors.EmailNotVerified()

    def _skip_factor(self, user_id: int, hashed: str | None, *, device_token: str | None) -> bool:
        """Return whether the second factor is skipped because this browser is trusted; False without a factor. Raises
        SecondFactorRequired.
        """
        if not self.factors.has_any(user_id):
            return False
        if not self.factors.is_trusted(user_id, device_token):
            raise errors.SecondFactorRequired(user_id, self._proof(user_id, hashed))
        return True

    def _proof(self, user_id: int, hashed: str | None) -> str:
        return keyed_hash(self.secret_keys[0], "half signed in", str(user_id), hashed or "")

    def _is_usable(self, user: Any, user_id: int) -> bool:
        """Return whether the account can sign in; checked last, because it restores a deleted account."""
        return user.is_active or (
            user.deleted_by_owner and self.users.undo_own_deletion(self.session.get_one(User, user_id))
        )

    def _open(self, proved: Authentication, *, visit: Visit, in_browser: bool, is_confirmed: bool) -> SignedIn:
        user_id = proved.user_id
        self.session.execute(update(User).where(User.id == user_id).values(last_seen_at=self.clock()))
        is_known = in_browser and self.sessions.find_device(user_id, visit.device_token) is not None
        had_others = not is_known and self.sessions.has_devices(user_id)
        session_id, token = self.sessions.start(
            user_id,
            visit=visit,
            remember=proved.remember,
            is_confirmed=is_confirmed,
            factor_added_at=proved.factor.added_at if proved.factor else None,
        )
        device_token = None
        if in_browser:
            # An attacker could have planted a token that this account does not know.
            device_token = visit.device_token if is_known and visit.device_token else new_token()
            self.sessions.remember_device(user_id, device_token)
        self.audit.record(
            "session.started", subject_id=user_id, actor_id=user_id, session_id=session_id, method=proved.method
        )
        if had_others:
            self.job_queue.enqueue(SendNewDevice(user_id=user_id, session_id=session_id))
        return SignedIn(user_id, session_id, token, device_token)


def _may_be_usable(user: Any) -> bool:
    return bool(user.is_active or user.deleted_by_owner)
