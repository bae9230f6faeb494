"""Authenticators: one-time codes (TOTP, RFC 6238), passkeys (WebAuthn) and recovery codes.

Every change and use locks the row of its user first, so simultaneous ones see each other's results and never deadlock.
"""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, false, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from app.audit.services.log import AuditLog
from app.auth.access import AccessKind
from app.auth.emails.factors import SendFactorChanged
from app.auth.models import Authenticator, Device, Factor, OneTimeLink, Target
from app.auth.second_factor_codes import is_time_code, matching_step, new_seed
from app.auth.services.links import undoable
from app.auth.services.sessions import Sessions
from app.auth.services.throttles import Throttles
from app.core import errors
from app.core.dialects import has_room, rowcount
from app.core.encryption import CannotOpen, key_id, seal, unseal
from app.core.principal import Principal, Visit
from app.core.service import Service, Services
from app.core.tokens import token_hash
from app.jobs.services.queue import JobQueue
from app.passkeys.webauthn import NewPasskey
from app.users.models import Role, User, user_roles

log = logging.getLogger(__name__)

MAX_FAILURES = 100  # In a row, ever (NIST SP 800-63B-4, section 3.2.2).
MAX_PASSKEYS = 20
TELL_THE_OWNER_AT = 5
TRUSTED_FOR = timedelta(days=30)
PENDING_FOR = timedelta(minutes=15)  # How long a new seed waits for its first code.


@dataclass(frozen=True, slots=True)
class Count:
    """Where an attempt was counted; `is_shared` by all unknown browsers, and then at the authenticator too."""

    throttle_id: int
    is_shared: bool


@dataclass(frozen=True, slots=True)
class RecoveryTry:
    """A counted attempt, with the hash whose parameters the entry point uses to derive the code's hash, without a
    transaction.
    """

    count: Count
    like: str


@dataclass(frozen=True, slots=True)
class ProvedFactor:
    """A second factor of `user_id` that was just used, and when it was added."""

    user_id: int
    added_at: datetime


class Factors(Service):
    access: Sequence[AccessKind]
    audit: AuditLog
    job_queue: JobQueue
    secret_keys: Sequence[str]
    services: Services
    sessions: Sessions
    throttles: Throttles

    # ── what there is ──

    def has_any(self, user_id: int) -> bool:
        """Return whether signing in requires a second factor."""
        query = select(Authenticator.id).where(*_confirmed(user_id), Authenticator.kind != Factor.RECOVERY)
        return self.session.scalar(query.limit(1)) is not None

    def list_all(self, user_id: int) -> list[Authenticator]:
        """Return confirmed authenticators, without recovery codes."""
        query = select(Authenticator).where(*_confirmed(user_id), Authenticator.kind != Factor.RECOVERY)
        return list(self.session.scalars(query.order_by(Authenticator.id)))

    def find(self, user_id: int, factor: Factor) -> Authenticator | None:
        """Return the confirmed authenticator of this kind."""
        return self.session.scalar(select(Authenticator).where(*_confirmed(user_id, factor)).limit(1))

    def recovery_left(self, user_id: int) -> int:
        unused = _confirmed(user_id, Factor.RECOVERY), Authenticator.last_used_at.is_(None)
        return self.session.scalar(select(func.count()).where(*unused[0], unused[1])) or 0

    def are_required(self, user_id: int) -> bool:
        """Return whether one of the user's roles requires a second factor."""
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
        self.session.execute(delete(Authenticator).where(*_pending(user_id)))
        secret = seal(new_seed(), purpose=_purpose(user_id), secret_keys=self.secret_keys)
        self.session.add(Authenticator(user_id=user_id, kind=Factor.TOTP, secret=secret, created_at=self.clock()))
        self.session.flush()

    def get_pending_seed(self, user_id: int) -> str:
        """Return the seed that waits for its first correct code; later it is not shown again. Raises NotSetUp."""
        return self._open(self._pending(user_id))

    def confirm_totp(self, principal: Principal, code: str, *, recovery: Sequence[str]) -> str:
        """Replace the authenticator app by the pending one. `code` is plain, `recovery` contains hashes of codes.

        The replaced app is kept as long as the link in the email can restore it. The first factor ends all other
        sessions, and the recovery codes become valid. Returns this session's new token. Raises NotSetUp, WrongCode.
        """
        user_id, now = principal.user_id, self.clock()
        self._lock(user_id)
        pending = self._pending(user_id)
        step = self._matching_step(pending, code)
        if step is None:
            raise errors.WrongCode
        is_first = not self.has_any(user_id)
        replaced = update(Authenticator).where(*_confirmed(user_id, Factor.TOTP))
        self.session.execute(replaced.values(confirmed_at=None, replaced_at=now, replaced_by_id=pending.id))
        # It is as old as its first use: before that it was no factor.
        pending.created_at = pending.confirmed_at = pending.last_used_at = now
        pending.last_step = step
        if is_first:
            self._begin_with(principal, recovery)
        self.session.flush()
        self._added(pending)
        return self.sessions.confirm(principal)

    def renew_recovery(self, user_id: int, hashes: Sequence[str]) -> None:
        """Replace the recovery codes. Raises NotSetUp without a factor that they could replace."""
        self._lock(user_id)
        if not self.has_any(user_id):
            raise errors.NotSetUp
        self._keep_recovery(user_id, hashes)
        self._changed(user_id, self.audit.record("factor.recovery_made", subject_id=user_id))

    def get(self, user_id: int, authenticator_id: int) -> Authenticator:
        """Return an authenticator app or passkey of the user. Raises NotSetUp."""
        authenticator = self.session.get(Authenticator, authenticator_id)
        if (
            authenticator is None
            or authenticator.user_id != user_id
            or authenticator.confirmed_at is None
            or authenticator.kind == Factor.RECOVERY
        ):
            raise errors.NotSetUp
        return authenticator

    def get_passkey(self, user_id: int, authenticator_id: int) -> Authenticator:
        """Return a passkey of the user. Raises NotFound."""
        authenticator = self.session.get(Authenticator, authenticator_id)
        if authenticator is None or authenticator.user_id != user_id or authenticator.kind != Factor.PASSKEY:
            raise errors.NotFound
        return authenticator

    def rename_passkey(self, user_id: int, authenticator_id: int, name: str) -> None:
        """Rename a passkey of the user. Raises NotFound."""
        passkey = self.get_passkey(user_id, authenticator_id)
        if passkey.name != name:
            self.audit.record("factor.renamed", subject_id=user_id, before=passkey.name, after=name)
            passkey.name = name

    def is_last(self, authenticator: Authenticator) -> bool:
        """Return whether the password would be enough without it."""
        others = select(Authenticator.id).where(
            *_confirmed(authenticator.user_id),
            Authenticator.kind != Factor.RECOVERY,
            Authenticator.id != authenticator.id,
        )
        return self.session.scalar(others.limit(1)) is None

    def remove(self, user_id: int, authenticator_id: int, *, also_last: bool) -> None:
        """Remove one; with the last the recovery codes go, too.

        Raises NotSetUp, FactorRequired, LastFactor, LastSignInMethod.
        """
        self._lock(user_id)
        authenticator = self.get(user_id, authenticator_id)
        is_last, kind, name = self.is_last(authenticator), authenticator.kind, authenticator.name
        if is_last and self.are_required(user_id):
            raise errors.FactorRequired
        if is_last and not also_last:
            raise errors.LastFactor
        if kind == Factor.PASSKEY and not self._has_another_way_in(authenticator):
            raise errors.LastSignInMethod
        self.session.delete(authenticator)
        self.session.flush()
        if is_last:
            self.session.execute(delete(Authenticator).where(*_of(user_id, Factor.RECOVERY)))
        self._changed(user_id, self.audit.record("factor.removed", subject_id=user_id, factor=kind, name=name))

    def remove_all(self, user_id: int) -> None:
        """Remove all factors, for a user who has lost them."""
        self._lock(user_id)
        self.session.execute(delete(Authenticator).where(Authenticator.user_id == user_id))
        self._changed(user_id, self.audit.record("factor.reset", subject_id=user_id))

    def remove_added_since(self, user_id: int, at: datetime) -> None:
        """Remove factors added at or after `at`, confirmed or not, and restore the ones they replaced."""
        self._lock(user_id)
        recent = select(Authenticator.id).where(Authenticator.user_id == user_id, Authenticator.created_at >= at)
        for authenticator_id in self.session.scalars(recent.order_by(Authenticator.id.desc())).all():
            self._undo(user_id, authenticator_id)

    def undo(self, user_id: int, authenticator_id: int) -> None:
        """Remove a factor, if it still exists, restore the app it replaced, and notify the owner."""
        self._lock(user_id)
        event_id = self._undo(user_id, authenticator_id)
        if event_id is not None:
            self._changed(user_id, event_id)

    def _undo(self, user_id: int, authenticator_id: int) -> int | None:
        """Undo an addition; return the ID of the audit event if a factor was removed."""
        authenticator, event_id = self.session.get(Authenticator, authenticator_id), None
        if authenticator is not None and authenticator.user_id == user_id:
            if authenticator.confirmed_at is not None and authenticator.kind != Factor.RECOVERY:
                event_id = self.audit.record(
                    "factor.removed", subject_id=user_id, factor=authenticator.kind, name=authenticator.name
                )
            self.session.delete(authenticator)
            self.session.flush()
        self._bring_back(user_id, authenticator_id, removed=authenticator)
        if not self.has_any(user_id):
            self.session.execute(delete(Authenticator).where(*_of(user_id, Factor.RECOVERY)))
        return event_id

    def _bring_back(self, user_id: int, authenticator_id: int, *, removed: Authenticator | None) -> None:
        """Make the app that `authenticator_id` replaced the one in use again.

        Where another app is in use by now, that one counts as having replaced it: its own link brings it back.
        """
        earlier = update(Authenticator).where(
            Authenticator.user_id == user_id, Authenticator.replaced_by_id == authenticator_id
        )
        in_use = self.find(user_id, Factor.TOTP)
        if removed is not None and removed.replaced_at is not None:
            change: dict[str, Any] = {"replaced_at": removed.replaced_at, "replaced_by_id": removed.replaced_by_id}
        elif in_use is not None:
            change = {"replaced_at": in_use.created_at, "replaced_by_id": in_use.id}
        else:
            change = {"replaced_at": None, "replaced_by_id": None, "confirmed_at": Authenticator.created_at}
        self.session.execute(earlier.values(change))

    def list_older(self, user_id: int, at: datetime) -> list[Authenticator]:
        """Return the second factors in use at `at`, including one replaced since; no recovery codes."""
        query = select(Authenticator).where(*_in_use(user_id, at), Authenticator.kind != Factor.RECOVERY)
        return list(self.session.scalars(query.order_by(Authenticator.id)))

    def _has_another_way_in(self, authenticator: Authenticator) -> bool:
        """Return whether there is a password, a connection or another passkey."""
        with_password = select(User.id).where(User.id == authenticator.user_id, User.hashed_password.is_not(None))
        return (
            len(self.list_passkeys(authenticator.user_id)) > 1
            or self.session.scalar(with_password) is not None
            or any(True for access in self.access for _ in access.list_ways_in(self.services, authenticator.user_id))
        )

    # ── passkeys ──

    def list_passkeys(self, user_id: int) -> list[Authenticator]:
        mine = select(Authenticator).where(*_confirmed(user_id, Factor.PASSKEY))
        return list(self.session.scalars(mine.order_by(Authenticator.id)))

    def find_passkey(self, credential_id: str) -> Authenticator | None:
        return self.session.scalar(select(Authenticator).where(Authenticator.credential_id == credential_id))

    def add_passkey(self, principal: Principal, new: NewPasskey, *, name: str, recovery: Sequence[str]) -> str:
        """Add a passkey. As the first factor, it has the effects of `confirm_totp`.

        Returns this session's new token. Raises TooManyPasskeys, PasskeyTaken.
        """
        user_id, now = principal.user_id, self.clock()
        self._lock(user_id)
        is_first = not self.has_any(user_id)
        condition = _confirmed(user_id, Factor.PASSKEY)
        if not has_room(self.session, *condition, at_most=MAX_PASSKEYS, lock=f"passkeys:{user_id}"):
            raise errors.TooManyPasskeys
        added = Authenticator(
            user_id=user_id, kind=Factor.PASSKEY, name=name, created_at=now, confirmed_at=now, **asdict(new)
        )
        try:
            with self.session.begin_nested():
                self.session.add(added)
        except IntegrityError:
            raise errors.PasskeyTaken from None
        if is_first:
            self._begin_with(principal, recovery)
        self._added(added)
        return self.sessions.confirm(principal)

    def use_passkey(self, passkey: Authenticator, *, sign_count: int) -> ProvedFactor:
        """Record the use, and a counter that did not grow: there may be a copy. Raises BadPasskey if it is gone."""
        self._lock(passkey.user_id)
        authenticator = self.session.get(Authenticator, passkey.id)
        if authenticator is None:
            raise errors.BadPasskey
        if (sign_count or authenticator.sign_count) and sign_count <= (authenticator.sign_count or 0):
            event_id = self.audit.record(
                "factor.counter_fell", subject_id=authenticator.user_id, name=authenticator.name
            )
            self.job_queue.enqueue(SendFactorChanged(user_id=authenticator.user_id, event_id=event_id))
        authenticator.sign_count, authenticator.last_used_at = sign_count, self.clock()
        return ProvedFactor(authenticator.user_id, authenticator.created_at)

    def _begin_with(self, principal: Principal, recovery: Sequence[str]) -> None:
        """End other sessions and store the recovery codes, with the first factor."""
        self._keep_recovery(principal.user_id, recovery)
        self.sessions.revoke_all(principal.user_id, reason="factor_added", keep=principal.session_id)

    def _keep_recovery(self, user_id: int, hashes: Sequence[str]) -> None:
        self.session.execute(delete(Authenticator).where(*_of(user_id, Factor.RECOVERY)))
        now = self.clock()
        values = {"user_id": user_id, "kind": Factor.RECOVERY, "created_at": now, "confirmed_at": now}
        if hashes:
            self.session.execute(insert(Authenticator), [values | {"code_hash": code_hash} for code_hash in hashes])

    def _added(self, added: Authenticator) -> None:
        about = {"factor": added.kind, "name": added.name, **undoable(added)}
        self._changed(added.user_id, self.audit.record("factor.added", subject_id=added.user_id, **about))

    def _changed(self, user_id: int, event_id: int) -> None:
        """Revoke trust in all browsers, and notify the owner."""
        self.session.execute(update(Device).where(Device.user_id == user_id).values(trusted_until=None))
        self.job_queue.enqueue(SendFactorChanged(user_id=user_id, event_id=event_id))

    # ── using ──

    def use_totp(
        self, user_id: int, code: str, *, device_token: str | None, at: datetime | None = None
    ) -> ProvedFactor:
        """Accept a plain code, once: of the app in use now, or of the one that was in use `at` an earlier time.

        Raises TooManyTries, AuthenticatorLocked, WrongCode.
        """
        which = _usable(user_id, Factor.TOTP, at)
        count = self._charge(user_id, which, device_token)
        authenticator = self.session.scalar(
            select(Authenticator).where(*which).order_by(Authenticator.id.desc()).limit(1)
        )
        step = self._matching_step(authenticator, code) if authenticator else None
        if authenticator is None or step is None or not self._take_step(authenticator, step):
            raise self._refuse(user_id, Factor.TOTP, count)
        self._accept(which, count)
        return ProvedFactor(user_id, authenticator.created_at)

    def _matching_step(self, authenticator: Authenticator, code: str) -> int | None:
        """Return the matching time step; None also if the seed's key is missing, which `flask doctor` reports."""
        try:
            return matching_step(self._open(authenticator), code, at=self.clock()) if is_time_code(code) else None
        except CannotOpen:
            return None

    def _take_step(self, authenticator: Authenticator, step: int) -> bool:
        """Accept the first code of a time step; later requests with this or an earlier step are refused."""
        newer = or_(Authenticator.last_step.is_(None), Authenticator.last_step < step)
        taken = update(Authenticator).where(Authenticator.id == authenticator.id, newer)
        return rowcount(self.session, taken.values(last_step=step, last_used_at=self.clock())) == 1

    def begin_recovery(self, user_id: int, *, device_token: str | None, at: datetime | None = None) -> RecoveryTry:
        """Count a try. Raises TooManyTries, AuthenticatorLocked, WrongCode where there are (or were) no codes."""
        which = _usable(user_id, Factor.RECOVERY, at)
        count = self._charge(user_id, which, device_token)
        authenticator = self.session.scalar(select(Authenticator).where(*which).limit(1))
        if authenticator is None or authenticator.code_hash is None:
            raise self._refuse(user_id, Factor.RECOVERY, count)
        return RecoveryTry(count, authenticator.code_hash)

    def use_recovery(
        self, user_id: int, attempt: RecoveryTry, hashed: str | None, *, at: datetime | None = None
    ) -> ProvedFactor:
        """Accept a recovery code by its hash, once, and notify the owner. None stands for an impossible code. Raises
        WrongCode.
        """
        self._lock(user_id)
        which = _usable(user_id, Factor.RECOVERY, at)
        code = (*which, Authenticator.last_used_at.is_(None), Authenticator.code_hash == hashed)
        spent = update(Authenticator).where(*code).values(last_used_at=self.clock()).returning(Authenticator.created_at)
        added_at = self.session.scalar(spent) if hashed is not None else None
        if added_at is None:
            raise self._refuse(user_id, Factor.RECOVERY, attempt.count)
        self._accept(which, attempt.count)
        event_id = self.audit.record("factor.recovery_used", subject_id=user_id, left=self.recovery_left(user_id))
        self.job_queue.enqueue(SendFactorChanged(user_id=user_id, event_id=event_id))
        return ProvedFactor(user_id, added_at)

    def refund(self, user_id: int, attempt: RecoveryTry, *, at: datetime | None = None) -> None:
        """Take back the attempt because the code could not be checked now."""
        self.throttles.refund(attempt.count.throttle_id)
        if attempt.count.is_shared:
            counted = update(Authenticator).where(*_usable(user_id, Factor.RECOVERY, at), Authenticator.failures > 0)
            self.session.execute(counted.values(failures=Authenticator.failures - 1))

    def _charge(self, user_id: int, which: Sequence[ColumnElement[bool]], device_token: str | None) -> Count:
        """Count an attempt before it is checked, so that simultaneous ones on pages and API are all counted.

        As with passwords, unknown browsers share one counter and each known browser has its own: an attacker who knows
        the password can't lock the owner out.
        """
        self._lock(user_id)
        device = self.sessions.find_device(user_id, device_token)
        if device is not None:
            throttle = self.throttles.charge(f"factor:{user_id}:{device.token_hash}", user_id=user_id)
            if throttle.failures > MAX_FAILURES:
                raise errors.AuthenticatorLocked
            return Count(throttle.id, is_shared=False)
        throttle = self.throttles.charge(f"factor:{user_id}", user_id=user_id)
        one_more = update(Authenticator).where(*which, Authenticator.failures < MAX_FAILURES)
        is_there = select(Authenticator.id).where(*which).limit(1)
        counted = rowcount(self.session, one_more.values(failures=Authenticator.failures + 1))
        if not counted and self.session.scalar(is_there) is not None:
            raise errors.AuthenticatorLocked
        return Count(throttle.id, is_shared=True)

    def _accept(self, which: Sequence[ColumnElement[bool]], count: Count) -> None:
        self.session.execute(update(Authenticator).where(*which).values(failures=0))
        self.throttles.refund(count.throttle_id)

    def _refuse(self, user_id: int, factor: Factor, count: Count) -> errors.WrongCode:
        event_id = self.audit.record("factor.refused", subject_id=user_id, factor=factor.value)
        if self.throttles.failures(count.throttle_id) >= TELL_THE_OWNER_AT:
            self.job_queue.enqueue(
                SendFactorChanged(user_id=user_id, event_id=event_id),
                dedupe_key=f"wrong-codes:{user_id}:{self.job_queue.today()}",
            )
        return errors.WrongCode()

    # ── trusted browsers ──

    def trust(self, user_id: int, device_token: str, *, visit: Visit) -> None:
        """Let a password be enough in this browser for 30 days."""
        condition = Device.user_id == user_id, Device.token_hash == token_hash(device_token)
        until = self.clock() + TRUSTED_FOR
        self.session.execute(update(Device).where(*condition).values(trusted_until=until, user_agent=visit.user_agent))
        self.audit.record("browser.trusted", subject_id=user_id, actor_id=user_id)

    def is_trusted(self, user_id: int, device_token: str | None) -> bool:
        device = self.sessions.find_device(user_id, device_token)
        return device is not None and device.trusted_until is not None and device.trusted_until > self.clock()

    def list_trusted(self, user_id: int) -> list[Device]:
        trusted = select(Device).where(Device.user_id == user_id, Device.trusted_until > self.clock())
        return list(self.session.scalars(trusted.order_by(Device.id.desc())))

    def distrust(self, user_id: int, device_id: int) -> None:
        """Stop trusting a browser, if it is still trusted."""
        mine = update(Device).where(
            Device.user_id == user_id, Device.id == device_id, Device.trusted_until.is_not(None)
        )
        if rowcount(self.session, mine.values(trusted_until=None)):
            self.audit.record("browser.distrusted", subject_id=user_id)

    # ── seeds ──

    def reencrypt(self, *, at_most: int = 500) -> int:
        """Encrypt secrets of earlier keys with the current key; returns how many."""
        _, *earlier = map(key_id, self.secret_keys)
        old = or_(
            false(),
            *(Authenticator.secret.startswith(f"{key}.", autoescape=True) for key in earlier),
        )
        sealed = 0
        for authenticator in self.session.scalars(select(Authenticator).where(old).limit(at_most)).all():
            try:
                secret = self._open(authenticator)
            except CannotOpen:
                log.warning("a seed cannot be opened", extra={"authenticator_id": authenticator.id})
                continue
            authenticator.secret = seal(secret, purpose=_purpose(authenticator.user_id), secret_keys=self.secret_keys)
            sealed += 1
        self.session.flush()
        return sealed

    def purge(self, *, keep_replaced: timedelta) -> None:
        """Delete seeds that never got their first code, and apps replaced so long ago that no link brings them back."""
        now = self.clock()
        undone_by = select(OneTimeLink.target_id).where(
            OneTimeLink.target_kind == Target.AUTHENTICATOR, OneTimeLink.expires_at > now
        )
        of_apps = delete(Authenticator).where(Authenticator.kind == Factor.TOTP, Authenticator.confirmed_at.is_(None))
        is_replaced = Authenticator.replaced_at < now - keep_replaced
        pending = of_apps.where(Authenticator.replaced_at.is_(None), Authenticator.created_at < now - PENDING_FOR)
        self.session.execute(pending)
        self.session.execute(of_apps.where(is_replaced, Authenticator.replaced_by_id.not_in(undone_by)))

    def count_lost(self) -> int:
        """Return the number of secrets encrypted with an unknown key."""
        readable = (Authenticator.secret.startswith(f"{key_id(key)}.", autoescape=True) for key in self.secret_keys)
        lost = select(func.count()).where(Authenticator.secret.is_not(None), ~or_(*readable))
        return self.session.scalar(lost) or 0

    def _open(self, authenticator: Authenticator) -> str:
        return unseal(authenticator.secret or "", purpose=_purpose(authenticator.user_id), secret_keys=self.secret_keys)

    def _pending(self, user_id: int) -> Authenticator:
        """Raises NotSetUp."""
        recent = select(Authenticator).where(*_pending(user_id), Authenticator.created_at > self.clock() - PENDING_FOR)
        authenticator = self.session.scalar(recent.order_by(Authenticator.id.desc()).limit(1))
        if authenticator is None:
            raise errors.NotSetUp
        return authenticator

    def _lock(self, user_id: int) -> None:
        self.session.execute(select(User.id).where(User.id == user_id).with_for_update(key_share=True))


def _of(user_id: int, factor: Factor) -> tuple[ColumnElement[bool], ...]:
    return Authenticator.user_id == user_id, Authenticator.kind == factor


def _confirmed(user_id: int, factor: Factor | None = None) -> tuple[ColumnElement[bool], ...]:
    mine = (Authenticator.user_id == user_id, Authenticator.confirmed_at.is_not(None))
    return mine if factor is None else (*mine, Authenticator.kind == factor)


def _in_use(user_id: int, at: datetime) -> tuple[ColumnElement[bool], ...]:
    """Return conditions for factors in use at `at`: added before it, and confirmed, or replaced at or after it."""
    counted = or_(Authenticator.confirmed_at.is_not(None), Authenticator.replaced_at >= at)
    return Authenticator.user_id == user_id, Authenticator.created_at < at, counted


def _usable(user_id: int, factor: Factor, at: datetime | None) -> tuple[ColumnElement[bool], ...]:
    """Return conditions for factors of one kind that are usable now, or were at `at`."""
    return _confirmed(user_id, factor) if at is None else (*_in_use(user_id, at), Authenticator.kind == factor)


def _pending(user_id: int) -> tuple[ColumnElement[bool], ...]:
    return *_of(user_id, Factor.TOTP), Authenticator.confirmed_at.is_(None), Authenticator.replaced_at.is_(None)


def _purpose(user_id: int) -> str:
    """Return the encryption context of a seed: one that is moved to another account can't be decrypted."""
    return f"totp of {user_id}"
