"""One-time links: 256 bits, stored hashed, bound to a purpose, spent by one conditional UPDATE."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from sqlalchemy import ColumnElement, select, update

from app.auth.models import UNDOING, OneTimeLink, Purpose, Undoable
from app.core import errors
from app.core.dialects import rowcount
from app.core.service import Service
from app.core.tokens import keyed_hash, new_salt, token_hash


class Added(Protocol):
    """A row that a link in an email can remove."""

    @property
    def id(self) -> int: ...
    @property
    def created_at(self) -> datetime: ...


def undoable(added: Added) -> dict[str, Any]:
    """Return the addition as details of its audit event."""
    return {"added_id": added.id, "added_at": added.created_at.isoformat()}


class OneTimeLinks(Service):
    """`keys` are the signing keys, the current one first."""

    secret_keys: Sequence[str]

    def issue(
        self,
        purpose: Purpose,
        *,
        user_id: int,
        address: str,
        lifetime: timedelta,
        job_id: int | None = None,
        email_change_id: int | None = None,
        undoes: Undoable | None = None,
    ) -> tuple[OneTimeLink, str]:
        """Create a link and return it with its token; older links stay valid until `supersede`, when this one was sent.

        With a `job_id`, a retried job gets the same link again. Raises InvalidLink if that link has ended.
        """
        sent_before = self.session.scalar(select(OneTimeLink).where(OneTimeLink.job_id == job_id)) if job_id else None
        if sent_before is not None:
            return sent_before, self.token_of(sent_before)
        now = self.clock()
        salt = new_salt()
        token = self._token(self.secret_keys[0], purpose, salt)
        link = OneTimeLink(
            user_id=user_id,
            purpose=purpose,
            address=address,
            salt=salt,
            token_hash=token_hash(token),
            job_id=job_id,
            email_change_id=email_change_id,
            target_kind=undoes.kind if undoes else None,
            target_id=undoes.id if undoes else None,
            target_at=undoes.at if undoes else None,
            created_at=now,
            expires_at=now + lifetime,
        )
        self.session.add(link)
        self.session.flush()
        return link, token

    def supersede(self, link: OneTimeLink) -> None:
        """Record that this link was sent, and end older ones of its user and purpose that it replaces."""
        if link.purpose not in UNDOING:
            self._end(
                OneTimeLink.user_id == link.user_id, OneTimeLink.purpose == link.purpose, OneTimeLink.id < link.id
            )

    def sent(self, job_id: int) -> None:
        """Record that this job's email was accepted; a link in it replaces older ones."""
        link = self.session.scalar(select(OneTimeLink).where(OneTimeLink.job_id == job_id))
        if link is not None:
            self.supersede(link)

    def token_of(self, link: OneTimeLink) -> str:
        """Recompute the token from the row and the key. Raises InvalidLink if the key is gone or the link was used."""
        if link.used_at is None and link.expires_at > self.clock():
            for key in self.secret_keys:
                token = self._token(key, link.purpose, link.salt)
                if token_hash(token) == link.token_hash:
                    return token
        raise errors.InvalidLink

    def get_live(self, token: str, purpose: Purpose) -> OneTimeLink:
        """Return the valid link of a token, without spending it. Raises InvalidLink."""
        link = self.session.scalar(
            select(OneTimeLink).where(
                OneTimeLink.token_hash == token_hash(token),
                OneTimeLink.purpose == purpose,
                OneTimeLink.used_at.is_(None),
                OneTimeLink.expires_at > self.clock(),
            )
        )
        if link is None:
            raise errors.InvalidLink
        return link

    def spend_link(self, token: str, purpose: Purpose) -> OneTimeLink:
        """Spend the link, once even with simultaneous requests. Raises InvalidLink."""
        now = self.clock()
        spent = rowcount(
            self.session,
            update(OneTimeLink)
            .where(
                OneTimeLink.token_hash == token_hash(token),
                OneTimeLink.purpose == purpose,
                OneTimeLink.used_at.is_(None),
                OneTimeLink.expires_at > now,
            )
            .values(used_at=now),
        )
        if spent != 1:
            raise errors.InvalidLink
        return self.session.scalars(select(OneTimeLink).where(OneTimeLink.token_hash == token_hash(token))).one()

    def end_all(self, user_id: int, *purposes: Purpose) -> None:
        self._end(OneTimeLink.user_id == user_id, OneTimeLink.purpose.in_(purposes))

    def end_later_undos(self, link: OneTimeLink) -> None:
        """End the links of later changes; links of earlier changes stay valid."""
        self._end(
            OneTimeLink.user_id == link.user_id,
            OneTimeLink.purpose == Purpose.UNDO_EMAIL_CHANGE,
            OneTimeLink.email_change_id > link.email_change_id,
        )

    def _end(self, *which: ColumnElement[bool]) -> None:
        now = self.clock()
        living = update(OneTimeLink).where(*which, OneTimeLink.used_at.is_(None), OneTimeLink.expires_at > now)
        self.session.execute(living.values(expires_at=now))

    @staticmethod
    def _token(key: str, purpose: str, salt: bytes) -> str:
        return keyed_hash(key, "one-time link", purpose, salt)
