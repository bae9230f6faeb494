"""New ways to sign in (factors, connections, API keys), which a link in an email can undo."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select

from app.auth.access import AccessKind
from app.auth.models import Authenticator, Factor, OneTimeLink, Purpose, Target
from app.auth.services.factors import Factors, ProvedFactor
from app.auth.services.links import OneTimeLinks
from app.auth.services.revocation import Revocation
from app.core import errors
from app.core.service import Service, Services
from app.users.models import User

RECENT = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class WayIn:
    """A way to sign in besides a password. `kind` is a Factor, or Target.CONNECTION."""

    kind: str
    name: str
    added_at: datetime
    is_recent: bool


@dataclass(frozen=True, slots=True)
class Addition:
    """The thing that a link undoes, and when it was added.

    The user must prove one of the `older` second factors first. `kind` is the Target, or the Factor of an
    authenticator; None if the row no longer exists.
    """

    user_id: int
    target: Target
    target_id: int
    kind: str | None
    at: datetime
    older: list[Authenticator]

    @property
    def had_app(self) -> bool:
        return any(factor.kind == Factor.TOTP for factor in self.older)

    @property
    def older_passkeys(self) -> list[Authenticator]:
        return [factor for factor in self.older if factor.kind == Factor.PASSKEY]


class Additions(Service):
    access: Sequence[AccessKind]
    factors: Factors
    links: OneTimeLinks
    revocation: Revocation
    services: Services

    def list_ways_in(self, user_id: int) -> list[WayIn]:
        """Return the authenticators and connected accounts of `user_id`, newest first. A reset revokes API keys."""
        now = self.clock()
        added = [
            *((factor.kind, factor.name, factor.created_at) for factor in self.factors.list_all(user_id)),
            *(way for access in self.access for way in access.list_ways_in(self.services, user_id)),
        ]
        ways = [WayIn(kind, name, at, is_recent=at > now - RECENT) for kind, name, at in added]
        return sorted(ways, key=lambda way: way.added_at, reverse=True)

    def get(self, token: str) -> Addition:
        """Return the addition that the link of `token` undoes. Raises InvalidLink."""
        return self._read(self.links.get_live(token, Purpose.UNDO_ADDITION))

    def undo(self, token: str, *, proved: ProvedFactor | None) -> Addition:
        """Remove the addition and the password, and revoke all access; the owner then resets the password.

        Where the account had an older second factor, it must be `proved`: access to the mailbox must not weaken an
        account. Raises InvalidLink, FactorNeeded.
        """
        addition = self._read(self.links.spend_link(token, Purpose.UNDO_ADDITION))
        user_id = addition.user_id
        user = self.session.scalar(select(User).where(User.id == user_id).with_for_update(key_share=True))
        if user is None:
            raise errors.InvalidLink
        is_proved = proved is not None and proved.user_id == user_id and proved.added_at < addition.at
        if addition.older and not is_proved:
            raise errors.FactorNeeded
        self._undo(addition)
        user.hashed_password = None
        self.revocation.revoke_access(user_id, reason="addition_undone")
        return addition

    def _undo(self, addition: Addition) -> None:
        if addition.target is Target.AUTHENTICATOR:
            self.factors.undo(addition.user_id, addition.target_id)
        for access in self.access:
            if access.target is addition.target:
                access.undo(self.services, addition.user_id, addition.target_id)

    def _read(self, link: OneTimeLink) -> Addition:
        if link.target_kind is None or link.target_id is None or link.target_at is None:
            raise errors.InvalidLink
        target = Target(link.target_kind)
        kind: str | None = target
        if target is Target.AUTHENTICATOR:
            authenticator = self.session.get(Authenticator, link.target_id)
            kind = authenticator.kind if authenticator is not None else None
        older = self.factors.list_older(link.user_id, link.target_at)
        return Addition(link.user_id, target, link.target_id, kind, link.target_at, older)
