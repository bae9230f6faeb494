"""New ways to sign in (factors, connections, API keys), which a link in an email can undo."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select

from app.api_keys.service import ApiKeys
from app.auth.models import Authenticator, Factor, OneTimeLink, Purpose, Target
from app.auth.services.factors import Factors, ProvedFactor
from app.auth.services.links import OneTimeLinks
from app.auth.services.revocation import Revocation
from app.core import errors
from app.core.service import Service
from app.oauth.service import Connections
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
    api_keys: ApiKeys
    connections: Connections
    factors: Factors
    links: OneTimeLinks
    revocation: Revocation

    def list_ways_in(self, user_id: int) -> list[WayIn]:
        """Return the authenticators and connected accounts of `user_id`, newest first. A reset revokes API keys."""
        now = self.clock()
        added = [
            *((factor.kind, factor.name, factor.created_at) for factor in self.factors.list_all(user_id)),
            *(
                (Target.CONNECTION, connection.provider, connection.created_at)
                for connection in self.connections.list_of(user_id)
            ),
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
        undo = {
            Target.AUTHENTICATOR: self.factors.undo,
            Target.CONNECTION: self.connections.undo,
            Target.API_KEY: self.api_keys.undo,
        }
        undo[addition.target](user_id, addition.target_id)
        user.hashed_password = None
        self.revocation.revoke_access(user_id, reason="addition_undone")
        return addition

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
