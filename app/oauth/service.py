"""Connected accounts: identities at providers (OAuth 2.0, OpenID Connect)."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, exists, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import selectinload

from app.audit.services.log import AuditLog
from app.auth.models import Authenticator, Purpose
from app.auth.services.confirmation import Confirmation
from app.auth.services.factors import Factors
from app.auth.services.links import OneTimeLinks, undoable
from app.core import errors
from app.core.dialects import advisory_lock, has_room
from app.core.service import Service
from app.jobs.services.queue import JobQueue
from app.oauth.emails import SendConnectionAdded, SendConnectionRemoved
from app.oauth.errors import ConnectionNotFound, IdentityTaken, TooManyConnections
from app.oauth.models import OAuthIdentity
from app.users.models import User

MAX_CONNECTIONS = 20


@dataclass(frozen=True, slots=True)
class Identity:
    """A user at a provider. `email` is canonical and confirmed by the provider, or None."""

    provider: str
    issuer: str
    subject: str
    email: str | None
    name: str = ""


class Connections(Service):
    audit: AuditLog
    factors: Factors
    confirmation: Confirmation
    job_queue: JobQueue
    links: OneTimeLinks
    registration_open: bool

    def list_of(self, user_id: int) -> list[OAuthIdentity]:
        query = select(OAuthIdentity).where(OAuthIdentity.user_id == user_id).order_by(OAuthIdentity.id)
        return list(self.session.scalars(query))

    def list_with_address(self, user_id: int) -> list[int]:
        """Return the IDs of the user's connections whose email address is known."""
        connected = select(OAuthIdentity.id).where(OAuthIdentity.user_id == user_id, OAuthIdentity.email.is_not(None))
        return list(self.session.scalars(connected))

    def find_address(self, connection_id: int) -> tuple[str, datetime] | None:
        """Return a connection's address, empty if it has none, and when it was connected."""
        connection = self.session.get(OAuthIdentity, connection_id)
        return (connection.email or "", connection.created_at) if connection else None

    def find(self, identity: Identity) -> OAuthIdentity | None:
        """Return the connection of this identity, by issuer and subject, locked until the transaction ends."""
        advisory_lock(self.session, f"{identity.issuer} {identity.subject}")
        condition = (OAuthIdentity.issuer == identity.issuer, OAuthIdentity.subject == identity.subject)
        return self.session.scalar(select(OAuthIdentity).where(*condition))

    def sign_up(self, identity: Identity) -> OAuthIdentity:
        """Create an account for an address that the provider has confirmed, or take over the unconfirmed account.

        An unconfirmed account starts again without its password, which a stranger may have chosen. An open invitation
        is accepted. Raises EmailTaken, RegistrationClosed.
        """
        if identity.email is None:
            raise errors.EmailTaken
        user = self._waiting(identity.email) or self._new(identity.email)
        if not self.confirmation.is_promised(user.id):
            self.audit.record("user.registered", subject_id=user.id, provider=identity.provider)
        # A name that they were invited with stays, unless a stranger has registered with the address.
        invited_name = user.name if user.hashed_password is None else ""
        user.name, user.hashed_password, user.created_at = identity.name or invited_name, None, self.clock()
        self.links.end_all(user.id, *Purpose)
        self.confirmation.confirm_address(user)
        return self._add(user.id, identity)

    def connect(self, user_id: int, identity: Identity) -> OAuthIdentity:
        """Connect an identity to the signed-in user's account, and notify them. Raises IdentityTaken,
        TooManyConnections.
        """
        connection = self.find(identity)
        if connection is not None:
            if connection.user_id != user_id:
                raise IdentityTaken
            return connection
        condition = OAuthIdentity.user_id == user_id
        if not has_room(self.session, condition, at_most=MAX_CONNECTIONS, lock=f"connections:{user_id}"):
            raise TooManyConnections
        added = self._add(user_id, identity)
        about = {"provider": identity.provider, **undoable(added)}
        event_id = self.audit.record("connection.added", subject_id=user_id, **about)
        self.job_queue.enqueue(SendConnectionAdded(user_id=user_id, event_id=event_id))
        return added

    def find_use(self) -> str | None:
        """Return why accounts need their connections, or None."""
        kinds = [kind.kind for kind in self.factors.factor_kinds.values() if kind.is_way_in]
        has_factor = exists().where(Authenticator.user_id == User.id, Authenticator.kind.in_(kinds))
        is_connected = exists().where(OAuthIdentity.user_id == User.id)
        query = select(func.count()).where(User.hashed_password.is_(None), is_connected, ~has_factor)
        users = self.session.scalar(query)
        return f"{users} {'user has' if users == 1 else 'users have'} no other way to sign in" if users else None

    def get(self, user_id: int, connection_id: int) -> OAuthIdentity:
        """Return a connection of the user. Raises ConnectionNotFound."""
        connection = next((candidate for candidate in self.list_of(user_id) if candidate.id == connection_id), None)
        if connection is None:
            raise ConnectionNotFound
        return connection

    def disconnect(self, user_id: int, connection_id: int) -> None:
        """Remove one, unless it is the last way in. Raises ConnectionNotFound, LastSignInMethod."""
        # The user's row is locked, so that of two that are left only one can be removed.
        user = self.session.scalars(select(User).where(User.id == user_id).with_for_update(key_share=True)).one()
        connection = self.get(user_id, connection_id)
        if user.hashed_password is None and len(self.list_of(user_id)) == 1 and not self.factors.has_way_in(user_id):
            raise errors.LastSignInMethod
        self.session.delete(connection)
        event_id = self.audit.record("connection.removed", subject_id=user_id, provider=connection.provider)
        self.job_queue.enqueue(SendConnectionRemoved(user_id=user_id, event_id=event_id))

    def remove_added_since(self, user_id: int, at: datetime) -> None:
        """Remove the connections that were added at or after `at`."""
        recent = (OAuthIdentity.user_id == user_id, OAuthIdentity.created_at >= at)
        for provider in self.session.scalars(delete(OAuthIdentity).where(*recent).returning(OAuthIdentity.provider)):
            self.audit.record("connection.removed", subject_id=user_id, provider=provider)

    def undo(self, user_id: int, connection_id: int) -> None:
        """Remove a connection, if it still exists, and notify the owner."""
        mine = (OAuthIdentity.user_id == user_id, OAuthIdentity.id == connection_id)
        provider = self.session.scalar(delete(OAuthIdentity).where(*mine).returning(OAuthIdentity.provider))
        if provider is not None:
            event_id = self.audit.record("connection.removed", subject_id=user_id, provider=provider)
            self.job_queue.enqueue(SendConnectionRemoved(user_id=user_id, event_id=event_id))

    def note_use(self, connection: OAuthIdentity, identity: Identity) -> None:
        connection.last_used_at = self.clock()
        connection.provider = identity.provider  # It may have been renamed.
        connection.email = identity.email or connection.email

    def _waiting(self, email: str) -> User | None:
        """Return the unconfirmed account with this address, locked. Raises EmailTaken for any other."""
        query = select(User).where(User.email == email).options(selectinload(User.roles))
        user = self.session.scalar(query.with_for_update(key_share=True))
        if user is not None and (user.is_verified() or not user.is_active):
            raise errors.EmailTaken
        return user

    def _new(self, email: str) -> User:
        """Raises EmailTaken where a simultaneous sign-up was first: the next try finds its account."""
        if not self.registration_open:
            raise errors.RegistrationClosed
        now = self.clock()
        user = User(email=email, name="", hashed_password=None, created_at=now, updated_at=now, roles=[])
        try:
            with self.session.begin_nested():
                self.session.add(user)
        except IntegrityError:
            raise errors.EmailTaken from None
        return user

    def _add(self, user_id: int, identity: Identity) -> OAuthIdentity:
        added = OAuthIdentity(
            user_id=user_id,
            provider=identity.provider,
            issuer=identity.issuer,
            subject=identity.subject,
            email=identity.email,
            created_at=self.clock(),
        )
        self.session.add(added)
        self.session.flush()
        return added
