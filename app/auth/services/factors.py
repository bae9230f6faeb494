"""Second factors of users, recovery codes and trusted browsers; features add the kinds of factors.

Every change and use locks the row of its user first, so simultaneous ones see each other's results and never deadlock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, func, insert, or_, select, update

from app.audit.services.log import AuditLog
from app.auth.access import AccessKind
from app.auth.emails.factors import SendFactorChanged
from app.auth.models import RECOVERY, Authenticator, Device, OneTimeLink, Target
from app.auth.second_factors import CodeSource, FactorKind, ProvedFactor
from app.auth.services.links import undoable
from app.auth.services.sessions import Sessions
from app.auth.services.throttles import Throttles
from app.core import errors
from app.core.dialects import rowcount
from app.core.principal import Principal, Visit
from app.core.service import Service, Services
from app.core.tokens import token_hash
from app.jobs.services.queue import JobQueue
from app.users.models import Role, User, user_roles

MAX_FAILURES = 100  # In a row, ever (NIST SP 800-63B-4, section 3.2.2).
TELL_THE_OWNER_AT = 5
TRUSTED_FOR = timedelta(days=30)
PENDING_FOR = timedelta(minutes=15)  # How long a new factor waits to be confirmed.


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


class Factors(Service):
    access: Sequence[AccessKind]
    audit: AuditLog
    factor_kinds: Mapping[str, FactorKind]
    job_queue: JobQueue
    services: Services
    sessions: Sessions
    throttles: Throttles

    # ── what there is ──

    def has_any(self, user_id: int) -> bool:
        """Return whether signing in requires a second factor."""
        query = select(Authenticator.id).where(*_confirmed(user_id), Authenticator.kind != RECOVERY)
        return self.session.scalar(query.limit(1)) is not None

    def list_all(self, user_id: int) -> list[Authenticator]:
        """Return confirmed authenticators of all kinds there are, without recovery codes."""
        query = select(Authenticator).where(*_usable(user_id, list(self.factor_kinds), None))
        return list(self.session.scalars(query.order_by(Authenticator.id)))

    def list_of(self, user_id: int, kind: str) -> list[Authenticator]:
        """Return confirmed authenticators of one kind."""
        query = select(Authenticator).where(*_confirmed(user_id, kind))
        return list(self.session.scalars(query.order_by(Authenticator.id)))

    def find(self, user_id: int, kind: str) -> Authenticator | None:
        """Return the confirmed authenticator of this kind."""
        return next(iter(self.list_of(user_id, kind)), None)

    def has_way_in(self, user_id: int) -> bool:
        """Return whether one of the factors signs in without a password."""
        return any(self.list_of(user_id, kind.kind) for kind in self.factor_kinds.values() if kind.is_way_in)

    def find_use(self, kind: str) -> str | None:
        """Return why accounts need this kind of factor, or None."""
        confirmed = Authenticator.kind == kind, Authenticator.confirmed_at.is_not(None)
        if users := self.session.scalar(select(func.count(Authenticator.user_id.distinct())).where(*confirmed)):
            return f"{users} {'user has' if users == 1 else 'users have'} set one up"
        role = self.session.scalar(select(Role.name).where(Role.requires_second_factor).limit(1))
        return f"the role {role} requires a second factor" if role is not None else None

    def list_code_sources(self, user_id: int, *, at: datetime | None = None) -> list[CodeSource]:
        """Return where the user gets codes from, besides recovery codes: now, or `at` an earlier time."""
        query = select(Authenticator.kind).where(*_usable(user_id, list(self.factor_kinds), at)).distinct()
        used = set(self.session.scalars(query))
        return [kind.codes for kind in self.factor_kinds.values() if kind.codes and kind.kind in used]

    def recovery_left(self, user_id: int) -> int:
        unused = _confirmed(user_id, RECOVERY), Authenticator.last_used_at.is_(None)
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

    def confirm(
        self, principal: Principal, added: Authenticator, *, recovery: Sequence[str], is_only_one: bool = False
    ) -> str:
        """Enable a factor that waits to be confirmed. `recovery` contains hashes of codes.

        The first factor ends all other sessions, and the recovery codes become valid. With `is_only_one` it replaces
        another of its kind, which is kept as long as the link in the email can restore it. Returns this session's new
        token.
        """
        user_id, now = principal.user_id, self.clock()
        is_first = not self.has_any(user_id)
        if is_only_one:
            replaced = update(Authenticator).where(*_confirmed(user_id, added.kind))
            self.session.execute(replaced.values(confirmed_at=None, replaced_at=now, replaced_by_id=added.id))
        # It is as old as its confirmation: before that it was no factor.
        added.created_at = added.confirmed_at = now
        if is_first:
            self._keep_recovery(user_id, recovery)
            self.sessions.revoke_all(user_id, reason="factor_added", keep=principal.session_id)
        self.session.flush()
        about = {"factor": added.kind, "name": added.name, **undoable(added)}
        self._changed(user_id, self.audit.record("factor.added", subject_id=user_id, **about))
        return self.sessions.confirm(principal)

    def renew_recovery(self, user_id: int, hashes: Sequence[str]) -> None:
        """Replace the recovery codes. Raises NotSetUp without a factor that they could replace."""
        self.lock(user_id)
        if not self.has_any(user_id):
            raise errors.NotSetUp
        self._keep_recovery(user_id, hashes)
        self._changed(user_id, self.audit.record("factor.recovery_made", subject_id=user_id))

    def get(self, user_id: int, authenticator_id: int) -> Authenticator:
        """Return a confirmed authenticator of the user, no recovery code. Raises NotSetUp."""
        authenticator = self.session.get(Authenticator, authenticator_id)
        if (
            authenticator is None
            or authenticator.user_id != user_id
            or authenticator.confirmed_at is None
            or authenticator.kind not in self.factor_kinds
        ):
            raise errors.NotSetUp
        return authenticator

    def is_last(self, authenticator: Authenticator) -> bool:
        """Return whether the password would be enough without it."""
        others = select(Authenticator.id).where(
            *_confirmed(authenticator.user_id),
            Authenticator.kind != RECOVERY,
            Authenticator.id != authenticator.id,
        )
        return self.session.scalar(others.limit(1)) is None

    def remove(self, user_id: int, authenticator_id: int, *, also_last: bool) -> None:
        """Remove one; with the last the recovery codes go, too.

        Raises NotSetUp, FactorRequired, LastFactor, LastSignInMethod.
        """
        self.lock(user_id)
        authenticator = self.get(user_id, authenticator_id)
        is_last, kind, name = self.is_last(authenticator), authenticator.kind, authenticator.name
        if is_last and self.are_required(user_id):
            raise errors.FactorRequired
        if is_last and not also_last:
            raise errors.LastFactor
        if self.factor_kinds[kind].is_way_in and not self._has_another_way_in(authenticator):
            raise errors.LastSignInMethod
        self.session.delete(authenticator)
        self.session.flush()
        if is_last:
            self.session.execute(delete(Authenticator).where(*_of(user_id, RECOVERY)))
        self._changed(user_id, self.audit.record("factor.removed", subject_id=user_id, factor=kind, name=name))

    def remove_all(self, user_id: int) -> None:
        """Remove all factors, for a user who has lost them."""
        self.lock(user_id)
        self.session.execute(delete(Authenticator).where(Authenticator.user_id == user_id))
        self._changed(user_id, self.audit.record("factor.reset", subject_id=user_id))

    def remove_added_since(self, user_id: int, at: datetime) -> None:
        """Remove factors added at or after `at`, confirmed or not, and restore the ones they replaced."""
        self.lock(user_id)
        recent = select(Authenticator.id).where(Authenticator.user_id == user_id, Authenticator.created_at >= at)
        for authenticator_id in self.session.scalars(recent.order_by(Authenticator.id.desc())).all():
            self._undo(user_id, authenticator_id)

    def undo(self, user_id: int, authenticator_id: int) -> None:
        """Remove a factor, if it still exists, restore the app it replaced, and notify the owner."""
        self.lock(user_id)
        event_id = self._undo(user_id, authenticator_id)
        if event_id is not None:
            self._changed(user_id, event_id)

    def _undo(self, user_id: int, authenticator_id: int) -> int | None:
        """Undo an addition; return the ID of the audit event if a factor was removed."""
        authenticator, event_id = self.session.get(Authenticator, authenticator_id), None
        if authenticator is not None and authenticator.user_id == user_id:
            if authenticator.confirmed_at is not None and authenticator.kind != RECOVERY:
                event_id = self.audit.record(
                    "factor.removed", subject_id=user_id, factor=authenticator.kind, name=authenticator.name
                )
            self.session.delete(authenticator)
            self.session.flush()
        self._bring_back(user_id, authenticator_id, removed=authenticator)
        if not self.has_any(user_id):
            self.session.execute(delete(Authenticator).where(*_of(user_id, RECOVERY)))
        return event_id

    def _bring_back(self, user_id: int, authenticator_id: int, *, removed: Authenticator | None) -> None:
        """Make the app that `authenticator_id` replaced the one in use again.

        Where another app is in use by now, that one counts as having replaced it: its own link brings it back.
        """
        condition = Authenticator.user_id == user_id, Authenticator.replaced_by_id == authenticator_id
        earlier = self.session.scalar(select(Authenticator).where(*condition).limit(1))
        if earlier is None:
            return
        in_use = self.find(user_id, earlier.kind)
        if removed is not None and removed.replaced_at is not None:
            change: dict[str, Any] = {"replaced_at": removed.replaced_at, "replaced_by_id": removed.replaced_by_id}
        elif in_use is not None:
            change = {"replaced_at": in_use.created_at, "replaced_by_id": in_use.id}
        else:
            change = {"replaced_at": None, "replaced_by_id": None, "confirmed_at": Authenticator.created_at}
        self.session.execute(update(Authenticator).where(*condition).values(change))

    def list_older(self, user_id: int, at: datetime) -> list[Authenticator]:
        """Return the second factors in use at `at`, including one replaced since; no recovery codes."""
        query = select(Authenticator).where(*_in_use(user_id, at), Authenticator.kind != RECOVERY)
        return list(self.session.scalars(query.order_by(Authenticator.id)))

    def _has_another_way_in(self, authenticator: Authenticator) -> bool:
        """Return whether there is a password, a connection or another factor that signs in."""
        with_password = select(User.id).where(User.id == authenticator.user_id, User.hashed_password.is_not(None))
        return (
            any(
                factor.id != authenticator.id and self.factor_kinds[factor.kind].is_way_in
                for factor in self.list_all(authenticator.user_id)
            )
            or self.session.scalar(with_password) is not None
            or any(True for access in self.access for _ in access.list_ways_in(self.services, authenticator.user_id))
        )

    def _keep_recovery(self, user_id: int, hashes: Sequence[str]) -> None:
        self.session.execute(delete(Authenticator).where(*_of(user_id, RECOVERY)))
        now = self.clock()
        values = {"user_id": user_id, "kind": RECOVERY, "created_at": now, "confirmed_at": now}
        if hashes:
            self.session.execute(insert(Authenticator), [values | {"code_hash": code_hash} for code_hash in hashes])

    def _changed(self, user_id: int, event_id: int) -> None:
        """Revoke trust in all browsers, and notify the owner."""
        self.session.execute(update(Device).where(Device.user_id == user_id).values(trusted_until=None))
        self.notify(user_id, event_id)

    def notify(self, user_id: int, event_id: int) -> None:
        """Email the owner about an event of their factors."""
        self.job_queue.enqueue(SendFactorChanged(user_id=user_id, event_id=event_id))

    # ── using ──

    def use_code(
        self, user_id: int, code: str, *, device_token: str | None, at: datetime | None = None
    ) -> ProvedFactor:
        """Accept a plain code, once: of a factor in use now, or of one that was in use `at` an earlier time.

        Raises TooManyTries, AuthenticatorLocked, WrongCode.
        """
        kinds = [kind.kind for kind in self.factor_kinds.values() if kind.codes]
        which = _usable(user_id, kinds, at)
        count = self._charge(user_id, which, device_token)
        query = select(Authenticator).where(*which).order_by(Authenticator.id.desc())
        right = next((factor for factor in self.session.scalars(query).all() if self._takes(factor, code)), None)
        if right is None:
            raise self._refuse(user_id, kinds[0] if kinds else RECOVERY, count)
        self._accept(which, count)
        return ProvedFactor(user_id, right.created_at)

    def _takes(self, factor: Authenticator, code: str) -> bool:
        codes = self.factor_kinds[factor.kind].codes
        return codes is not None and codes.take_code(self.services, factor, code)

    def begin_recovery(self, user_id: int, *, device_token: str | None, at: datetime | None = None) -> RecoveryTry:
        """Count a try. Raises TooManyTries, AuthenticatorLocked, WrongCode where there are (or were) no codes."""
        which = _usable(user_id, [RECOVERY], at)
        count = self._charge(user_id, which, device_token)
        authenticator = self.session.scalar(select(Authenticator).where(*which).limit(1))
        if authenticator is None or authenticator.code_hash is None:
            raise self._refuse(user_id, RECOVERY, count)
        return RecoveryTry(count, authenticator.code_hash)

    def use_recovery(
        self, user_id: int, attempt: RecoveryTry, hashed: str | None, *, at: datetime | None = None
    ) -> ProvedFactor:
        """Accept a recovery code by its hash, once, and notify the owner. None stands for an impossible code. Raises
        WrongCode.
        """
        self.lock(user_id)
        which = _usable(user_id, [RECOVERY], at)
        code = (*which, Authenticator.last_used_at.is_(None), Authenticator.code_hash == hashed)
        spent = update(Authenticator).where(*code).values(last_used_at=self.clock()).returning(Authenticator.created_at)
        added_at = self.session.scalar(spent) if hashed is not None else None
        if added_at is None:
            raise self._refuse(user_id, RECOVERY, attempt.count)
        self._accept(which, attempt.count)
        event_id = self.audit.record("factor.recovery_used", subject_id=user_id, left=self.recovery_left(user_id))
        self.notify(user_id, event_id)
        return ProvedFactor(user_id, added_at)

    def refund(self, user_id: int, attempt: RecoveryTry, *, at: datetime | None = None) -> None:
        """Take back the attempt because the code could not be checked now."""
        self.throttles.refund(attempt.count.throttle_id)
        if attempt.count.is_shared:
            counted = update(Authenticator).where(*_usable(user_id, [RECOVERY], at), Authenticator.failures > 0)
            self.session.execute(counted.values(failures=Authenticator.failures - 1))

    def _charge(self, user_id: int, which: Sequence[ColumnElement[bool]], device_token: str | None) -> Count:
        """Count an attempt before it is checked, so that simultaneous ones on pages and API are all counted.

        As with passwords, unknown browsers share one counter and each known browser has its own: an attacker who knows
        the password can't lock the owner out.
        """
        self.lock(user_id)
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

    def _refuse(self, user_id: int, factor: str, count: Count) -> errors.WrongCode:
        event_id = self.audit.record("factor.refused", subject_id=user_id, factor=factor)
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

    # ── expiry ──

    def purge(self, *, keep_replaced: timedelta) -> None:
        """Delete factors that were never confirmed, and those replaced so long ago that no link brings them back."""
        now = self.clock()
        undone_by = select(OneTimeLink.target_id).where(
            OneTimeLink.target_kind == Target.AUTHENTICATOR, OneTimeLink.expires_at > now
        )
        unused = delete(Authenticator).where(Authenticator.confirmed_at.is_(None))
        is_replaced = Authenticator.replaced_at < now - keep_replaced
        pending = unused.where(Authenticator.replaced_at.is_(None), Authenticator.created_at < now - PENDING_FOR)
        self.session.execute(pending)
        self.session.execute(unused.where(is_replaced, Authenticator.replaced_by_id.not_in(undone_by)))

    def lock(self, user_id: int) -> None:
        """Lock the row of a user before factors change or are used."""
        self.session.execute(select(User.id).where(User.id == user_id).with_for_update(key_share=True))


def _of(user_id: int, kind: str) -> tuple[ColumnElement[bool], ...]:
    return Authenticator.user_id == user_id, Authenticator.kind == kind


def _confirmed(user_id: int, kind: str | None = None) -> tuple[ColumnElement[bool], ...]:
    mine = (Authenticator.user_id == user_id, Authenticator.confirmed_at.is_not(None))
    return mine if kind is None else (*mine, Authenticator.kind == kind)


def _in_use(user_id: int, at: datetime) -> tuple[ColumnElement[bool], ...]:
    """Return conditions for factors in use at `at`: added before it, and confirmed, or replaced at or after it."""
    counted = or_(Authenticator.confirmed_at.is_not(None), Authenticator.replaced_at >= at)
    return Authenticator.user_id == user_id, Authenticator.created_at < at, counted


def _usable(user_id: int, kinds: Sequence[str], at: datetime | None) -> tuple[ColumnElement[bool], ...]:
    """Return conditions for factors of these kinds that are usable now, or were at `at`."""
    return *(_confirmed(user_id) if at is None else _in_use(user_id, at)), Authenticator.kind.in_(kinds)
