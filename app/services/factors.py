"""Authenticators: one-time codes (TOTP, RFC 6238), passkeys (WebAuthn) and recovery codes.

Whoever changes or uses one locks the row of its user first: of several at once each sees what the one before has done,
and none waits for another that waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, false, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session as DbSession

from app.errors import (
    AuthenticatorLocked,
    BadPasskey,
    FactorRequired,
    LastFactor,
    LastWayIn,
    NotSetUp,
    PasskeyTaken,
    TooManyPasskeys,
    WrongCode,
)
from app.models import Authenticator, Device, Factor, OAuthIdentity, Role, User, user_roles
from app.principal import Principal, Visit
from app.security.codes import is_time_code, matching_step, new_seed
from app.security.passkeys import NewPasskey
from app.security.sealed import CannotOpen, key_id, seal, unseal
from app.security.tokens import token_hash
from app.services.audit import AuditLog
from app.services.job_queue import JobQueue
from app.services.sessions import Sessions
from app.services.statements import affected, has_room
from app.services.throttles import Throttles
from app.tasks import SendFactorChanged

MOST_FAILURES = 100  # In a row, ever (NIST SP 800-63B-4, section 3.2.2).
MOST_PASSKEYS = 20
TELL_THE_OWNER_AT = 5
TRUSTED_FOR = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class RecoveryTry:
    """A try that is counted: what the entry point derives the code's hash like, with no transaction open."""

    throttle_id: int
    like: str


@dataclass(frozen=True, kw_only=True)
class Factors:
    session: DbSession
    audit: AuditLog
    job_queue: JobQueue
    secret_keys: Sequence[str]
    sessions: Sessions
    throttles: Throttles
    clock: Callable[[], datetime]

    # ── what there is ──

    def has_any(self, user_id: int) -> bool:
        """Whether a password is not enough to sign in."""
        found = select(Authenticator.id).where(*_confirmed(user_id), Authenticator.kind != Factor.RECOVERY)
        return self.session.scalar(found.limit(1)) is not None

    def find(self, user_id: int, factor: Factor) -> Authenticator | None:
        """The confirmed one of this kind."""
        return self.session.scalar(select(Authenticator).where(*_confirmed(user_id, factor)).limit(1))

    def recovery_left(self, user_id: int) -> int:
        unused = _confirmed(user_id, Factor.RECOVERY), Authenticator.last_used_at.is_(None)
        return self.session.scalar(select(func.count()).where(*unused[0], unused[1])) or 0

    def are_required(self, user_id: int) -> bool:
        """Whether a role of theirs demands a second factor."""
        demanding = (
            select(Role.id)
            .join(user_roles, user_roles.c.role_id == Role.id)
            .where(user_roles.c.user_id == user_id, Role.requires_second_factor)
        )
        return self.session.scalar(demanding.limit(1)) is not None

    # ── setting up and taking away ──

    def begin_totp(self, user_id: int) -> None:
        """Make a seed, in place of one that was never confirmed."""
        self._lock(user_id)
        pending = delete(Authenticator).where(*_of(user_id, Factor.TOTP), Authenticator.confirmed_at.is_(None))
        self.session.execute(pending)
        secret = seal(new_seed(), purpose=_purpose(user_id), secret_keys=self.secret_keys)
        self.session.add(Authenticator(user_id=user_id, kind=Factor.TOTP, secret=secret, created_at=self.clock()))
        self.session.flush()

    def get_pending_seed(self, user_id: int) -> str:
        """The seed that waits for its first right code; after that it is not shown again. Raises NotSetUp."""
        return self._open(self._pending(user_id))

    def confirm_totp(self, principal: Principal, code: str, *, recovery: Sequence[str]) -> str:
        """Use the pending seed from now on, instead of an earlier one. `code` is plain, `recovery` the hashes of codes.

        The first factor ends every other session, and the recovery codes become valid. Returns this session's new
        token. Raises NotSetUp, WrongCode.
        """
        user_id, now = principal.user_id, self.clock()
        self._lock(user_id)
        pending = self._pending(user_id)
        step = self._matching_step(pending, code)
        if step is None:
            raise WrongCode
        is_first = not self.has_any(user_id)
        self.session.execute(delete(Authenticator).where(*_confirmed(user_id, Factor.TOTP)))
        pending.confirmed_at, pending.last_step, pending.last_used_at = now, step, now
        if is_first:
            self._begin_with(principal, recovery)
        self.session.flush()
        self._changed(user_id, self.audit.record("factor.added", subject_id=user_id, factor=Factor.TOTP.value))
        return self.sessions.confirm(principal)

    def renew_recovery(self, user_id: int, hashes: Sequence[str]) -> None:
        """Replace the recovery codes. Raises NotSetUp without a factor that they could stand in for."""
        self._lock(user_id)
        if not self.has_any(user_id):
            raise NotSetUp
        self._keep_recovery(user_id, hashes)
        self._changed(user_id, self.audit.record("factor.recovery_made", subject_id=user_id))

    def get(self, user_id: int, authenticator_id: int) -> Authenticator:
        """An authenticator app or a passkey of theirs. Raises NotSetUp."""
        found = self.session.get(Authenticator, authenticator_id)
        if found is None or found.user_id != user_id or found.confirmed_at is None or found.kind == Factor.RECOVERY:
            raise NotSetUp
        return found

    def is_last(self, found: Authenticator) -> bool:
        """Whether a password would be enough without it."""
        others = select(Authenticator.id).where(
            *_confirmed(found.user_id), Authenticator.kind != Factor.RECOVERY, Authenticator.id != found.id
        )
        return self.session.scalar(others.limit(1)) is None

    def remove(self, user_id: int, authenticator_id: int, *, also_last: bool) -> None:
        """Remove one; with the last the recovery codes go, too.

        Raises NotSetUp, FactorRequired, LastFactor, LastWayIn.
        """
        self._lock(user_id)
        found = self.get(user_id, authenticator_id)
        is_last, kind, name = self.is_last(found), found.kind, found.name
        if is_last and self.are_required(user_id):
            raise FactorRequired
        if is_last and not also_last:
            raise LastFactor
        if kind == Factor.PASSKEY and not self._has_another_way_in(found):
            raise LastWayIn
        self.session.delete(found)
        self.session.flush()
        if is_last:
            self.session.execute(delete(Authenticator).where(Authenticator.user_id == user_id))
        self._changed(user_id, self.audit.record("factor.removed", subject_id=user_id, factor=kind, name=name))

    def remove_all(self, user_id: int) -> None:
        """Remove every one, for somebody who has lost them."""
        self._lock(user_id)
        self.session.execute(delete(Authenticator).where(Authenticator.user_id == user_id))
        self._changed(user_id, self.audit.record("factor.reset", subject_id=user_id))

    def remove_added_since(self, user_id: int, at: datetime) -> None:
        """Remove the factors that were added at or after `at`, confirmed or not."""
        self._lock(user_id)
        recent = (Authenticator.user_id == user_id, Authenticator.created_at >= at)
        columns = (Authenticator.kind, Authenticator.name, Authenticator.confirmed_at)
        for kind, name, confirmed_at in self.session.execute(delete(Authenticator).where(*recent).returning(*columns)):
            if kind != Factor.RECOVERY and confirmed_at is not None:
                self.audit.record("factor.removed", subject_id=user_id, factor=kind, name=name)
        if not self.has_any(user_id):
            self.session.execute(delete(Authenticator).where(*_of(user_id, Factor.RECOVERY)))

    def _has_another_way_in(self, found: Authenticator) -> bool:
        """A password, a connection, or another passkey."""
        with_password = select(User.id).where(User.id == found.user_id, User.hashed_password.is_not(None))
        connected = select(OAuthIdentity.id).where(OAuthIdentity.user_id == found.user_id).limit(1)
        return (
            len(self.list_passkeys(found.user_id)) > 1
            or self.session.scalar(with_password) is not None
            or self.session.scalar(connected) is not None
        )

    # ── passkeys ──

    def list_passkeys(self, user_id: int) -> list[Authenticator]:
        mine = select(Authenticator).where(*_confirmed(user_id, Factor.PASSKEY))
        return list(self.session.scalars(mine.order_by(Authenticator.id)))

    def find_passkey(self, credential_id: str) -> Authenticator | None:
        return self.session.scalar(select(Authenticator).where(Authenticator.credential_id == credential_id))

    def add_passkey(self, principal: Principal, new: NewPasskey, *, name: str, recovery: Sequence[str]) -> str:
        """Let it prove from now on who `principal` is. As the first factor, it does what `confirm_totp` says.

        Returns this session's new token. Raises TooManyPasskeys, PasskeyTaken.
        """
        user_id, now = principal.user_id, self.clock()
        self._lock(user_id)
        is_first = not self.has_any(user_id)
        theirs = _confirmed(user_id, Factor.PASSKEY)
        if not has_room(self.session, *theirs, at_most=MOST_PASSKEYS, lock=f"passkeys:{user_id}"):
            raise TooManyPasskeys
        try:
            with self.session.begin_nested():
                self.session.add(
                    Authenticator(
                        user_id=user_id, kind=Factor.PASSKEY, name=name, created_at=now, confirmed_at=now, **asdict(new)
                    )
                )
        except IntegrityError:
            raise PasskeyTaken from None
        if is_first:
            self._begin_with(principal, recovery)
        event_id = self.audit.record("factor.added", subject_id=user_id, factor=Factor.PASSKEY.value, name=name)
        self._changed(user_id, event_id)
        return self.sessions.confirm(principal)

    def use_passkey(self, passkey: Authenticator, *, sign_count: int) -> None:
        """Note its use, and a counter that did not grow: there could be a copy. Raises BadPasskey if it is gone."""
        self._lock(passkey.user_id)
        found = self.session.get(Authenticator, passkey.id)
        if found is None:
            raise BadPasskey
        if (sign_count or found.sign_count) and sign_count <= (found.sign_count or 0):
            event_id = self.audit.record("factor.counter_fell", subject_id=found.user_id, name=found.name)
            self.job_queue.enqueue(SendFactorChanged(user_id=found.user_id, event_id=event_id))
        found.sign_count, found.last_used_at = sign_count, self.clock()

    def _begin_with(self, principal: Principal, recovery: Sequence[str]) -> None:
        """What comes with the first factor."""
        self._keep_recovery(principal.user_id, recovery)
        self.sessions.end_all(principal.user_id, reason="factor_added", keep=principal.session_id)

    def _keep_recovery(self, user_id: int, hashes: Sequence[str]) -> None:
        self.session.execute(delete(Authenticator).where(*_of(user_id, Factor.RECOVERY)))
        now = self.clock()
        made = {"user_id": user_id, "kind": Factor.RECOVERY, "created_at": now, "confirmed_at": now}
        if hashes:
            self.session.execute(insert(Authenticator), [made | {"code_hash": each} for each in hashes])

    def _changed(self, user_id: int, event_id: int) -> None:
        """Nothing is trusted any more, and the owner is told."""
        self.session.execute(update(Device).where(Device.user_id == user_id).values(trusted_until=None))
        self.job_queue.enqueue(SendFactorChanged(user_id=user_id, event_id=event_id))

    # ── using ──

    def use_totp(self, user_id: int, code: str) -> None:
        """Accept a plain code, once. Raises TooManyTries, AuthenticatorLocked, WrongCode."""
        throttle_id = self._charge(user_id, Factor.TOTP)
        found = self.find(user_id, Factor.TOTP)
        step = self._matching_step(found, code) if found else None
        if found is None or step is None or not self._take_step(found, step):
            raise self._refuse(user_id, Factor.TOTP, throttle_id)
        self._accept(user_id, Factor.TOTP, throttle_id)

    def _matching_step(self, found: Authenticator, code: str) -> int | None:
        """None also where the seed's key is gone; `flask doctor` says so."""
        try:
            return matching_step(self._open(found), code, at=self.clock()) if is_time_code(code) else None
        except CannotOpen:
            return None

    def _take_step(self, found: Authenticator, step: int) -> bool:
        """Of all that come with a code of this step or an earlier one, only the first is accepted."""
        newer = or_(Authenticator.last_step.is_(None), Authenticator.last_step < step)
        taken = update(Authenticator).where(Authenticator.id == found.id, newer)
        return affected(self.session, taken.values(last_step=step, last_used_at=self.clock())) == 1

    def begin_recovery(self, user_id: int) -> RecoveryTry:
        """Count a try. Raises TooManyTries, AuthenticatorLocked, WrongCode where there are no codes."""
        throttle_id = self._charge(user_id, Factor.RECOVERY)
        found = self.find(user_id, Factor.RECOVERY)
        if found is None or found.code_hash is None:
            raise self._refuse(user_id, Factor.RECOVERY, throttle_id)
        return RecoveryTry(throttle_id, found.code_hash)

    def use_recovery(self, user_id: int, attempt: RecoveryTry, hashed: str | None) -> None:
        """Accept a recovery code by its hash, once, and tell the owner. None stands for what can be no code.

        Raises WrongCode.
        """
        self._lock(user_id)
        unused = *_confirmed(user_id, Factor.RECOVERY), Authenticator.last_used_at.is_(None)
        spent = update(Authenticator).where(*unused, Authenticator.code_hash == hashed)
        if hashed is None or affected(self.session, spent.values(last_used_at=self.clock())) != 1:
            raise self._refuse(user_id, Factor.RECOVERY, attempt.throttle_id)
        self._accept(user_id, Factor.RECOVERY, attempt.throttle_id)
        event_id = self.audit.record("factor.recovery_used", subject_id=user_id, left=self.recovery_left(user_id))
        self.job_queue.enqueue(SendFactorChanged(user_id=user_id, event_id=event_id))

    def refund(self, attempt: RecoveryTry) -> None:
        """The code could not be checked now."""
        self.throttles.refund(attempt.throttle_id)

    def _charge(self, user_id: int, factor: Factor) -> int:
        """Count a try before it is checked, so that simultaneous ones are all counted, of pages and API together."""
        self._lock(user_id)
        throttle = self.throttles.charge(f"factor:{user_id}", user_id=user_id)
        of_factor = update(Authenticator).where(*_confirmed(user_id, factor))
        one_more = of_factor.where(Authenticator.failures < MOST_FAILURES).values(failures=Authenticator.failures + 1)
        if not affected(self.session, one_more) and self.find(user_id, factor) is not None:
            raise AuthenticatorLocked
        return throttle.id

    def _accept(self, user_id: int, factor: Factor, throttle_id: int) -> None:
        self.session.execute(update(Authenticator).where(*_confirmed(user_id, factor)).values(failures=0))
        self.throttles.refund(throttle_id)

    def _refuse(self, user_id: int, factor: Factor, throttle_id: int) -> WrongCode:
        event_id = self.audit.record("factor.refused", subject_id=user_id, factor=factor.value)
        if self.throttles.failures(throttle_id) >= TELL_THE_OWNER_AT:
            self.job_queue.enqueue(
                SendFactorChanged(user_id=user_id, event_id=event_id),
                dedupe_key=f"wrong-codes:{user_id}:{self.job_queue.today()}",
            )
        return WrongCode()

    # ── trusted browsers ──

    def trust(self, user_id: int, device_token: str, *, visit: Visit) -> None:
        """Let a password be enough in this browser for 30 days."""
        known = Device.user_id == user_id, Device.token_hash == token_hash(device_token)
        until = self.clock() + TRUSTED_FOR
        self.session.execute(update(Device).where(*known).values(trusted_until=until, user_agent=visit.user_agent))
        self.audit.record("browser.trusted", subject_id=user_id, actor_id=user_id)

    def is_trusted(self, user_id: int, device_token: str | None) -> bool:
        device = self.sessions.find_device(user_id, device_token)
        return device is not None and device.trusted_until is not None and device.trusted_until > self.clock()

    def list_trusted(self, user_id: int) -> list[Device]:
        trusted = select(Device).where(Device.user_id == user_id, Device.trusted_until > self.clock())
        return list(self.session.scalars(trusted.order_by(Device.id.desc())))

    def distrust(self, user_id: int, device_id: int) -> None:
        """It may have been distrusted already."""
        mine = update(Device).where(
            Device.user_id == user_id, Device.id == device_id, Device.trusted_until.is_not(None)
        )
        if affected(self.session, mine.values(trusted_until=None)):
            self.audit.record("browser.distrusted", subject_id=user_id)

    # ── seeds ──

    def reseal(self, *, at_most: int = 500) -> int:
        """Seal with the current key what an earlier one has sealed; returns how many."""
        _, *earlier = map(key_id, self.secret_keys)
        old = or_(false(), *(Authenticator.secret.startswith(f"{each}.", autoescape=True) for each in earlier))
        found = list(self.session.scalars(select(Authenticator).where(old).limit(at_most)))
        for each in found:
            each.secret = seal(self._open(each), purpose=_purpose(each.user_id), secret_keys=self.secret_keys)
        self.session.flush()
        return len(found)

    def count_lost(self) -> int:
        """How many seeds were sealed with a key that is not here any more."""
        known = (Authenticator.secret.startswith(f"{key_id(each)}.", autoescape=True) for each in self.secret_keys)
        lost = select(func.count()).where(Authenticator.secret.is_not(None), ~or_(*known))
        return self.session.scalar(lost) or 0

    def _open(self, found: Authenticator) -> str:
        return unseal(found.secret or "", purpose=_purpose(found.user_id), secret_keys=self.secret_keys)

    def _pending(self, user_id: int) -> Authenticator:
        pending = select(Authenticator).where(*_of(user_id, Factor.TOTP), Authenticator.confirmed_at.is_(None))
        found = self.session.scalar(pending.order_by(Authenticator.id.desc()).limit(1))
        if found is None:
            raise NotSetUp
        return found

    def _lock(self, user_id: int) -> None:
        self.session.execute(select(User.id).where(User.id == user_id).with_for_update(key_share=True))


def _of(user_id: int, factor: Factor) -> tuple[ColumnElement[bool], ...]:
    return Authenticator.user_id == user_id, Authenticator.kind == factor


def _confirmed(user_id: int, factor: Factor | None = None) -> tuple[ColumnElement[bool], ...]:
    mine = (Authenticator.user_id == user_id, Authenticator.confirmed_at.is_not(None))
    return mine if factor is None else (*mine, Authenticator.kind == factor)


def _purpose(user_id: int) -> str:
    """A seed that was moved to another account opens for nobody."""
    return f"totp of {user_id}"
