"""New ways to sign in (factors, connections, API keys), which a link in an email can undo."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select

from app.auth.access import AccessKind, Words
from app.auth.models import Authenticator, OneTimeLink, Purpose, Target
from app.auth.second_factors import CodeSource, FactorKind, ProvedFactor
from app.auth.services.factors import Factors
from app.auth.services.links import OneTimeLinks
from app.auth.services.revocation import Revocation
from app.core import errors
from app.core.service import Service, Services
from app.users.models import User

RECENT = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class WayIn:
    """A way to sign in besides a password, for example a passkey ("Passkey") of a name."""

    kind: str
    name: str
    added_at: datetime
    is_recent: bool


@dataclass(frozen=True, slots=True)
class Addition:
    """The thing that a link undoes, and when it was added.

    The user must prove one of the `older` second factors first, for example by a code of `code_sources` or a recovery
    code. `words` are None if a factor no longer exists.
    """

    user_id: int
    target: Target
    target_id: int
    words: Words | None
    at: datetime
    older: list[Authenticator]
    code_sources: list[CodeSource]


class Additions(Service):
    access: Sequence[AccessKind]
    factor_kinds: Mapping[str, FactorKind]
    factors: Factors
    links: OneTimeLinks
    revocation: Revocation
    services: Services

    def list_ways_in(self, user_id: int) -> list[WayIn]:
        """Return the authenticators and connected accounts of `user_id`, newest first. A reset revokes API keys."""
        now = self.clock()
        added = [
            *(
                (self.factor_kinds[factor.kind].words.name, factor.name, factor.created_at)
                for factor in self.factors.list_all(user_id)
            ),
            *(
                (access.words.name, name, at)
                for access in self.access
                for name, at in access.list_ways_in(self.services, user_id)
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
        target, user_id, at = Target(link.target_kind), link.user_id, link.target_at
        older = self.factors.list_older(user_id, at)
        sources = self.factors.list_code_sources(user_id, at=at)
        return Addition(user_id, target, link.target_id, self._find_words(target, link.target_id), at, older, sources)

    def _find_words(self, target: Target, target_id: int) -> Words | None:
        if target is not Target.AUTHENTICATOR:
            return next((access.words for access in self.access if access.target is target), None)
        authenticator = self.session.get(Authenticator, target_id)
        kind = self.factor_kinds.get(authenticator.kind) if authenticator is not None else None
        return kind.words if kind is not None else None
