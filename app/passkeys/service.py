"""Passkeys: names, public keys and counters."""

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from app.audit.services.log import AuditLog
from app.auth.models import Authenticator
from app.auth.second_factors import ProvedFactor
from app.auth.services.factors import Factors
from app.core import errors
from app.core.dialects import has_room
from app.core.principal import Principal
from app.core.service import Service
from app.passkeys.errors import BadPasskey, PasskeyTaken, TooManyPasskeys
from app.passkeys.webauthn import NewPasskey

PASSKEY = "passkey"
MAX_PASSKEYS = 20


class Passkeys(Service):
    audit: AuditLog
    factors: Factors

    def list_of(self, user_id: int) -> list[Authenticator]:
        return self.factors.list_of(user_id, PASSKEY)

    def find(self, credential_id: str) -> Authenticator | None:
        return self.session.scalar(select(Authenticator).where(Authenticator.credential_id == credential_id))

    def get(self, user_id: int, passkey_id: int) -> Authenticator:
        """Return a passkey of the user. Raises NotFound."""
        passkey = self.session.get(Authenticator, passkey_id)
        if passkey is None or passkey.user_id != user_id or passkey.kind != PASSKEY:
            raise errors.NotFound
        return passkey

    def rename(self, user_id: int, passkey_id: int, name: str) -> None:
        """Rename a passkey of the user. Raises NotFound."""
        passkey = self.get(user_id, passkey_id)
        if passkey.name != name:
            self.audit.record("factor.renamed", subject_id=user_id, before=passkey.name, after=name)
            passkey.name = name

    def add(self, principal: Principal, new: NewPasskey, *, name: str, recovery: Sequence[str]) -> str:
        """Add a passkey. Returns this session's new token. Raises TooManyPasskeys, PasskeyTaken."""
        user_id = principal.user_id
        self.factors.lock(user_id)
        condition = Authenticator.user_id == user_id, Authenticator.kind == PASSKEY
        if not has_room(self.session, *condition, at_most=MAX_PASSKEYS, lock=f"passkeys:{user_id}"):
            raise TooManyPasskeys
        added = Authenticator(user_id=user_id, kind=PASSKEY, name=name, created_at=self.clock(), **asdict(new))
        try:
            with self.session.begin_nested():
                self.session.add(added)
        except IntegrityError:
            raise PasskeyTaken from None
        return self.factors.confirm(principal, added, recovery=recovery)

    def use(self, passkey: Authenticator, *, sign_count: int) -> ProvedFactor:
        """Record the use, and a counter that did not grow: there may be a copy. Raises BadPasskey if it is gone."""
        self.factors.lock(passkey.user_id)
        authenticator = self.session.get(Authenticator, passkey.id)
        if authenticator is None:
            raise BadPasskey
        if (sign_count or authenticator.sign_count) and sign_count <= (authenticator.sign_count or 0):
            event_id = self.audit.record("factor.counter_fell", subject_id=passkey.user_id, name=authenticator.name)
            self.factors.notify(passkey.user_id, event_id)
        authenticator.sign_count, authenticator.last_used_at = sign_count, self.clock()
        return ProvedFactor(authenticator.user_id, authenticator.created_at)
