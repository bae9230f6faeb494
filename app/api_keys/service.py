"""API keys: shown once, and never with more permissions than their owner has now."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Select, select, update

from app.api_keys.emails import SendApiKeyCreated, SendApiKeyExpires
from app.api_keys.errors import ApiKeyNotFound, ScopeNotHeld, TooManyApiKeys
from app.api_keys.keys import new_api_key, shown_part
from app.api_keys.models import ApiKey
from app.audit.services.log import AuditLog
from app.core import errors
from app.core.dialects import has_room, rowcount
from app.core.principal import Actor, Operator, Principal
from app.core.service import Service
from app.core.tokens import token_hash
from app.jobs.services.queue import JobQueue
from app.users.models import User
from app.users.permissions import ACCOUNT_SCOPES, permissions_of

DEFAULT_DAYS = 90  # How long a new key works unless its owner says otherwise.
MAX_ACTIVE_KEYS = 50
WARN_BEFORE = timedelta(days=7)


class ApiKeys(Service):
    audit: AuditLog
    job_queue: JobQueue

    def create_key(
        self, owner: Principal, *, name: str, scopes: Sequence[str], expires_at: datetime | None
    ) -> tuple[ApiKey, str]:
        """Create an API key; returns its row and the key. The owner gets an email.

        Raises ScopeNotHeld, TooManyApiKeys.
        """
        return self._create(owner.user_id, owner.permissions, name=name, scopes=scopes, expires_at=expires_at)

    def create_key_for(
        self, user: User, *, name: str, scopes: Sequence[str], expires_at: datetime | None
    ) -> tuple[ApiKey, str]:
        """Create an API key for a user, as the operator. Raises NotActive, and as `make`."""
        if not user.can_sign_in():
            raise errors.NotActive("The user can't sign in.")
        return self._create(user.id, permissions_of(user.roles), name=name, scopes=scopes, expires_at=expires_at)

    def _create(
        self,
        user_id: int,
        permissions: frozenset[str],
        *,
        name: str,
        scopes: Sequence[str],
        expires_at: datetime | None,
    ) -> tuple[ApiKey, str]:
        missing = sorted(set(scopes) - permissions - ACCOUNT_SCOPES.keys())
        if missing:
            raise ScopeNotHeld(missing)
        active = (ApiKey.user_id == user_id, *self._is_active())
        if not has_room(self.session, *active, at_most=MAX_ACTIVE_KEYS, lock=f"api_keys:{user_id}"):
            raise TooManyApiKeys(f"The limit is {MAX_ACTIVE_KEYS} API keys. Revoke one first.")
        secret = new_api_key()
        key = ApiKey(
            user_id=user_id,
            name=name,
            prefix=shown_part(secret),
            key_hash=token_hash(secret),
            scopes=sorted(set(scopes)),
            created_at=self.clock(),
            expires_at=expires_at,
        )
        self.session.add(key)
        self.session.flush()
        self.audit.record("api_key.made", subject_id=user_id, key_id=key.id, name=name, scopes=key.scopes)
        self.job_queue.enqueue(SendApiKeyCreated(key_id=key.id))
        return key, secret

    def get(self, key_id: int, *, by: Actor) -> ApiKey:
        """Return an active key of `by`, or of any user for the operator. Raises ApiKeyNotFound."""
        condition = [] if isinstance(by, Operator) else [ApiKey.user_id == by.user_id]
        key = self.session.scalar(self._active().where(ApiKey.id == key_id, *condition))
        if key is None:
            raise ApiKeyNotFound
        return key

    def list_active(self, user_id: int, *, before: int | None = None, limit: int | None = None) -> list[ApiKey]:
        """Return active keys with an ID below `before`, newest first."""
        query = self._active().where(ApiKey.user_id == user_id).order_by(ApiKey.id.desc()).limit(limit)
        return list(self.session.scalars(query if before is None else query.where(ApiKey.id < before)))

    def list_with_owners(self, user_id: int | None, *, limit: int) -> list[tuple[ApiKey, str]]:
        """Return active keys of `user_id`, or of all users for None, with their owners' addresses, newest first."""
        query = self._active().add_columns(User.email).join(User).order_by(ApiKey.id.desc()).limit(limit)
        if user_id is not None:
            query = query.where(ApiKey.user_id == user_id)
        return [(key, email) for key, email in self.session.execute(query)]

    def rename(self, key_id: int, *, name: str, by: Actor) -> ApiKey:
        """Raises ApiKeyNotFound."""
        key = self.get(key_id, by=by)
        if key.name != name:
            self.audit.record("api_key.renamed", subject_id=key.user_id, key_id=key.id, before=key.name, after=name)
            key.name = name
        return key

    def revoke_key(self, key_id: int, *, by: Actor) -> ApiKey:
        """End a key, as `get` finds it: it is invalid from the next request on. Raises ApiKeyNotFound."""
        key = self.get(key_id, by=by)
        change = update(ApiKey).where(ApiKey.id == key_id, ApiKey.ended_at.is_(None)).values(ended_at=self.clock())
        if rowcount(self.session, change) != 1:
            raise ApiKeyNotFound
        self.audit.record("api_key.ended", subject_id=key.user_id, key_id=key_id)
        return key

    def revoke_all(self, user_id: int, *, reason: str) -> int:
        """End every key of a user; returns how many."""
        active = update(ApiKey).where(ApiKey.user_id == user_id, ApiKey.ended_at.is_(None))
        count = rowcount(self.session, active.values(ended_at=self.clock()))
        if count:
            self.audit.record("api_key.ended_all", subject_id=user_id, reason=reason, count=count)
        return count

    def undo(self, user_id: int, key_id: int) -> None:
        """End a key of this user, if it has not ended."""
        condition = (ApiKey.user_id == user_id, ApiKey.id == key_id, ApiKey.ended_at.is_(None))
        if rowcount(self.session, update(ApiKey).where(*condition).values(ended_at=self.clock())):
            self.audit.record("api_key.ended", subject_id=user_id, key_id=key_id)

    def expire(self, key_id: int) -> None:
        """Revoke an expired key, so that it stays invalid if the clock is set back."""
        over = update(ApiKey).where(ApiKey.id == key_id, ApiKey.ended_at.is_(None))
        self.session.execute(over.values(ended_at=self.clock()))

    def warn_of_expiry(self, *, at_most: int = 500) -> int:
        """Enqueue an email for each key that expires within a week; returns how many."""
        now = self.clock()
        due = (
            select(ApiKey)
            .where(
                ApiKey.expires_at > now,
                ApiKey.expires_at <= now + WARN_BEFORE,
                ApiKey.ended_at.is_(None),
                ApiKey.warned_at.is_(None),
                # No warning for keys that were created for a few days only.
                ApiKey.created_at < now - timedelta(days=1),
            )
            .limit(at_most)
        )
        keys = self.session.scalars(due).all()
        for key in keys:
            key.warned_at = now
            self.job_queue.enqueue(SendApiKeyExpires(key_id=key.id))
        return len(keys)

    def _active(self) -> Select[ApiKey]:
        return select(ApiKey).where(*self._is_active())

    def _is_active(self) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
        return ApiKey.ended_at.is_(None), ApiKey.expires_at.is_(None) | (ApiKey.expires_at > self.clock())
