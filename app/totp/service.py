"""Authenticator apps: their encrypted seeds, and the codes from them (TOTP, RFC 6238)."""

import logging
from collections.abc import Sequence

from sqlalchemy import delete, false, func, or_, select, update

from app.auth.models import Authenticator
from app.auth.services.factors import PENDING_FOR, Factors
from app.core import errors
from app.core.dialects import rowcount
from app.core.encryption import CannotOpen, key_id, seal, unseal
from app.core.principal import Principal
from app.core.service import Service
from app.totp.codes import is_time_code, matching_step, new_seed

TOTP = "totp"
PENDING = (
    Authenticator.kind == TOTP,
    Authenticator.confirmed_at.is_(None),
    Authenticator.replaced_at.is_(None),
)

log = logging.getLogger(__name__)


class AuthenticatorApps(Service):
    factors: Factors
    secret_keys: Sequence[str]

    def start(self, user_id: int) -> None:
        """Make a seed, in place of one that was never confirmed."""
        self.factors.lock(user_id)
        self.session.execute(delete(Authenticator).where(Authenticator.user_id == user_id, *PENDING))
        secret = seal(new_seed(), purpose=_purpose(user_id), secret_keys=self.secret_keys)
        self.session.add(Authenticator(user_id=user_id, kind=TOTP, secret=secret, created_at=self.clock()))
        self.session.flush()

    def get_pending_seed(self, user_id: int) -> str:
        """Return the seed that waits for its first correct code; later it is not shown again. Raises NotSetUp."""
        return self._open(self._pending(user_id))

    def confirm(self, principal: Principal, code: str, *, recovery: Sequence[str]) -> str:
        """Replace the authenticator app by the pending one. `code` is plain, `recovery` contains hashes of codes.

        Returns this session's new token. Raises NotSetUp, WrongCode.
        """
        self.factors.lock(principal.user_id)
        pending = self._pending(principal.user_id)
        step = self._matching_step(pending, code)
        if step is None:
            raise errors.WrongCode
        pending.last_step, pending.last_used_at = step, self.clock()
        return self.factors.confirm(principal, pending, recovery=recovery, is_only_one=True)

    def take_code(self, authenticator: Authenticator, code: str) -> bool:
        """Accept the first code of a time step; later requests with this or an earlier step are refused."""
        step = self._matching_step(authenticator, code)
        if step is None:
            return False
        newer = or_(Authenticator.last_step.is_(None), Authenticator.last_step < step)
        spend = update(Authenticator).where(Authenticator.id == authenticator.id, newer)
        return rowcount(self.session, spend.values(last_step=step, last_used_at=self.clock())) == 1

    def _matching_step(self, authenticator: Authenticator, code: str) -> int | None:
        """Return the matching time step; None also if the seed's key is missing, which `flask doctor` reports."""
        try:
            return matching_step(self._open(authenticator), code, at=self.clock()) if is_time_code(code) else None
        except CannotOpen:
            return None

    def _open(self, authenticator: Authenticator) -> str:
        return unseal(authenticator.secret or "", purpose=_purpose(authenticator.user_id), secret_keys=self.secret_keys)

    def _pending(self, user_id: int) -> Authenticator:
        """Raises NotSetUp."""
        recent = Authenticator.user_id == user_id, Authenticator.created_at > self.clock() - PENDING_FOR
        query = select(Authenticator).where(*recent, *PENDING).order_by(Authenticator.id.desc())
        authenticator = self.session.scalar(query.limit(1))
        if authenticator is None:
            raise errors.NotSetUp
        return authenticator

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

    def count_lost(self) -> int:
        """Return the number of secrets encrypted with an unknown key."""
        readable = (Authenticator.secret.startswith(f"{key_id(key)}.", autoescape=True) for key in self.secret_keys)
        lost = select(func.count()).where(Authenticator.secret.is_not(None), ~or_(*readable))
        return self.session.scalar(lost) or 0


def _purpose(user_id: int) -> str:
    """Return the encryption context of a seed: one that is moved to another account can't be decrypted."""
    return f"totp of {user_id}"
