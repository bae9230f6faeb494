"""Sign-in by password, in two transactions; the slow hash runs between them, with none open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session as DbSession

from app.errors import (
    EmailNotVerified,
    InvalidCredentials,
    NotUsable,
    SecondFactorRequired,
    UserNotFound,
    WrongPassword,
)
from app.models import Device, User
from app.principal import Visit
from app.security.tokens import is_same, keyed_hash, token_hash
from app.services.audit import AuditLog
from app.services.factors import Factors
from app.services.job_queue import JobQueue
from app.services.sessions import Sessions
from app.services.throttles import Throttles
from app.tasks import SendAccountActivated, SendFailedSignIns, SendNewDevice

TELL_THE_OWNER_AT = 10


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try, already counted: what the entry point verifies the password against, with no transaction open."""

    throttle_id: int
    user_id: int | None
    hashed: str | None
    is_known_device: bool = False


@dataclass(frozen=True, slots=True)
class SignedIn:
    """`token` is the session's, for the browser only."""

    user_id: int
    session_id: int
    token: str


@dataclass(frozen=True, kw_only=True)
class SignIn:
    session: DbSession
    audit: AuditLog
    factors: Factors
    job_queue: JobQueue
    secret_keys: Sequence[str]
    sessions: Sessions
    throttles: Throttles
    clock: Callable[[], datetime]

    def begin(self, email: str, *, visit: Visit) -> Attempt:
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
            raise UserNotFound
        throttle = self.throttles.charge(f"{purpose}:{user_id}", user_id=user_id)
        return Attempt(throttle.id, user_id, hashed.hashed_password)

    def refuse(self, attempt: Attempt, *, failures_of: str = "session") -> InvalidCredentials | WrongPassword:
        """Record a wrong password, notify the owner after many, and return the exception to raise."""
        self.audit.record(f"{failures_of}.refused", subject_id=attempt.user_id)
        failures = self.throttles.failures(attempt.throttle_id)
        if failures >= TELL_THE_OWNER_AT:
            self.job_queue.enqueue(
                SendFailedSignIns(throttle_id=attempt.throttle_id),
                dedupe_key=f"failed-sign-ins:{attempt.throttle_id}:{self.job_queue.today()}",
            )
        return InvalidCredentials() if failures_of == "session" else WrongPassword()

    def accept(self, attempt: Attempt) -> None:
        """The password was right: refund the try."""
        self.throttles.refund(attempt.throttle_id)

    def finish(
        self,
        attempt: Attempt,
        *,
        visit: Visit,
        remember: bool,
        device_token: str | None,
        new_hash: str | None,
    ) -> SignedIn:
        """The password was right: begin a session. `new_hash` replaces one with outdated parameters.

        Without a `device_token`, the browser stays unknown at its next sign-in.

        Raises InvalidCredentials when the account or its password changed meanwhile, EmailNotVerified,
        SecondFactorRequired.
        """
        user = self.session.execute(
            select(User.hashed_password, User.is_active, User.email_verified_at, User.deleted_by_owner)
            .where(User.id == attempt.user_id)
            .with_for_update(key_share=True)  # Serialises with a simultaneous reset or deactivation.
        ).first()
        if attempt.user_id is None or user is None or user.hashed_password != attempt.hashed:
            raise self.refuse(attempt)
        if not _may_be_usable(user):
            raise self.refuse(attempt)
        self.accept(attempt)
        if user.email_verified_at is None:
            self.audit.record("session.refused_unverified", subject_id=attempt.user_id)
            raise EmailNotVerified
        if new_hash:
            self.session.execute(update(User).where(User.id == attempt.user_id).values(hashed_password=new_hash))
        self._check_factor(
            attempt.user_id, new_hash or user.hashed_password, visit=visit, is_browser=device_token is not None
        )
        if not self._is_usable(user, attempt.user_id):
            raise self.refuse(attempt)
        return self._open(attempt.user_id, visit=visit, remember=remember, device_token=device_token, method="password")

    def finish_elsewhere(
        self,
        user_id: int,
        *,
        visit: Visit,
        device_token: str | None,
        method: str,
        remember: bool = False,
        proof: str | None = None,
        has_factor: bool = False,
    ) -> SignedIn:
        """A provider or a passkey has proved who it is, or with `proof` a second factor: begin a session.

        `proof` is that of SecondFactorRequired; it is good until the password changes. With `has_factor` no second
        factor is asked for. Raises NotUsable, SecondFactorRequired.
        """
        user = self.session.execute(
            select(User.hashed_password, User.is_active, User.email_verified_at, User.deleted_by_owner)
            .where(User.id == user_id)
            .with_for_update(key_share=True)
        ).first()
        is_stale = proof is not None and (
            user is None or not is_same(proof, self._proof(user_id, user.hashed_password))
        )
        may_be = user is not None and not is_stale and user.email_verified_at is not None and _may_be_usable(user)
        if user is not None and may_be and proof is None and not has_factor:
            self._check_factor(user_id, user.hashed_password, visit=visit, is_browser=True)
        if not may_be or not self._is_usable(user, user_id):
            self.audit.record("session.refused", subject_id=user_id, method=method)
            raise NotUsable
        return self._open(user_id, visit=visit, remember=remember, device_token=device_token, method=method)

    def _check_factor(self, user_id: int, hashed: str | None, *, visit: Visit, is_browser: bool) -> None:
        """Raises SecondFactorRequired, unless there is none or this browser is trusted."""
        if not self.factors.has_any(user_id) or (is_browser and self.factors.is_trusted(user_id, visit.device_token)):
            return
        raise SecondFactorRequired(user_id, self._proof(user_id, hashed))

    def _proof(self, user_id: int, hashed: str | None) -> str:
        return keyed_hash(self.secret_keys[0], "half signed in", str(user_id), hashed or "")

    def _is_usable(self, user: Any, user_id: int) -> bool:
        """Whether it may sign in; last of all, because that takes back a deletion."""
        return user.is_active or (user.deleted_by_owner and self._take_back(user_id))

    def _take_back(self, user_id: int) -> bool:
        """Undo the deletion of one's own account, unless it was deactivated before; returns whether it is active."""
        user = self.session.get_one(User, user_id)
        if user.deactivated_at is not None:
            return False
        user.restore(at=self.clock())
        self.session.flush()
        self.audit.record("user.restored", subject_id=user_id, actor_id=user_id)
        self.job_queue.enqueue(SendAccountActivated(user_id=user_id))
        return True

    def _open(self, user_id: int, *, visit: Visit, remember: bool, device_token: str | None, method: str) -> SignedIn:
        self.session.execute(update(User).where(User.id == user_id).values(last_seen_at=self.clock()))
        is_known = self.sessions.find_device(user_id, device_token) is not None
        had_others = not is_known and self.sessions.has_devices(user_id)
        session_id, token = self.sessions.start(user_id, visit=visit, remember=remember)
        if device_token is not None:
            self.sessions.remember_device(user_id, device_token)
        self.audit.record("session.started", subject_id=user_id, actor_id=user_id, session_id=session_id, method=method)
        if had_others:
            self.job_queue.enqueue(SendNewDevice(user_id=user_id, session_id=session_id))
        return SignedIn(user_id, session_id, token)


def _may_be_usable(user: Any) -> bool:
    return bool(user.is_active or user.deleted_by_owner)
