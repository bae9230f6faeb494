from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from sqlalchemy import Connection, ForeignKey, Index, String, delete, event, false, insert, inspect, text
from sqlalchemy.orm import Mapped, mapped_column, object_session, relationship

from app.core.lengths import MAX_NAME_LENGTH, MAX_REASON_LENGTH, STORED_ADDRESS_LENGTH
from app.core.models import OWN_DATA, Base, BigId, by_bytes, partial_index
from app.users.models.role import Role, user_roles

Status = Literal["active", "deactivated", "unconfirmed", "deleted"]
DEACTIVATED = text("NOT is_active")
PENDING = text("confirmed_at IS NULL AND ended_at IS NULL")
UNCONFIRMED = text("is_active AND email_verified_at IS NULL")
DELETED = text("deleted_at IS NOT NULL")
UNTIL = text("deactivated_until IS NOT NULL")


@dataclass(frozen=True, slots=True)
class UserField:
    """A text about a user, on one line, which they and administrators can change; `autocomplete` is HTML's name for it.

    `example` is for the API's documentation.
    """

    label: str
    longest: int
    hint: str
    autocomplete: str
    example: str


# By column. Pages, API, commands and CSV show and change each; docs/add-a-user-field.md adds one.
USER_FIELDS = {
    "name": UserField("Name", MAX_NAME_LENGTH, "Shown in emails and on your account.", "name", "Ada Lovelace"),
}
MORE_USER_FIELDS = {name: field for name, field in USER_FIELDS.items() if name != "name"}


class User(Base):
    """A person with an account. `email` is the canonical form (see `app/core/addresses.py`) and unique.

    A deleted account is not active, has `deleted_at`, and is erased after its undo time.
    """

    __tablename__ = "users"
    __table_args__ = (
        # For the purge of unconfirmed accounts and the list sorted newest first.
        Index("ix_users_created_at", "created_at", "id"),
        Index("ix_users_name", "name", "id"),
        Index("ix_users_last_seen_at", "last_seen_at", "id"),
        # Finds the few users who cannot sign in without scanning the many who can.
        partial_index("ix_users_deactivated", "created_at", "id", where=DEACTIVATED),
        partial_index("ix_users_unconfirmed", "created_at", "id", where=UNCONFIRMED),
        partial_index("ix_users_deactivated_until", "deactivated_until", "id", where=UNTIL),
        partial_index("ix_users_deleted_at", "deleted_at", "id", where=DELETED),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    email: Mapped[str] = mapped_column(by_bytes(STORED_ADDRESS_LENGTH), unique=True)
    name: Mapped[str] = mapped_column(String(MAX_NAME_LENGTH), default="")
    hashed_password: Mapped[str | None] = mapped_column(String(255))
    is_active: Mapped[bool] = mapped_column(default=True)
    email_verified_at: Mapped[datetime | None]
    last_seen_at: Mapped[datetime | None]
    deactivated_at: Mapped[datetime | None]
    deactivated_until: Mapped[datetime | None]
    deactivation_reason: Mapped[str | None] = mapped_column(String(MAX_REASON_LENGTH))
    deleted_at: Mapped[datetime | None]
    # They deleted it themselves: signing in undoes that.
    deleted_by_owner: Mapped[bool] = mapped_column(default=False, server_default=false())
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    # A name of the IANA database; None for that of the site.
    time_zone: Mapped[str | None] = mapped_column(String(64), deferred=True)
    # Increases with every change that others can see, `last_seen_at` excepted.
    version: Mapped[int] = mapped_column(default=1, server_default="1")

    roles: Mapped[list[Role]] = relationship(secondary=user_roles, order_by=Role.name)

    @property
    def status(self) -> Status:
        return status_of(self)

    @property
    def owner_id(self) -> int:
        """A user is their own resource (`app/users/services/policy.py`)."""
        return self.id

    def is_verified(self) -> bool:
        return self.email_verified_at is not None

    def is_closed(self) -> bool:
        """Return whether its owner deleted the account, who can restore it by signing in or resetting the password."""
        return self.deleted_at is not None and self.deleted_by_owner and self.deactivated_at is None

    def can_sign_in(self) -> bool:
        return self.is_active and self.is_verified()

    def deactivate(self, *, reason: str, at: datetime, until: datetime | None = None) -> None:
        self.is_active = False
        self.deactivated_at, self.deactivated_until, self.deactivation_reason = at, until, reason
        self.updated_at = at

    def activate(self, *, at: datetime) -> None:
        self.is_active = True
        self.deactivated_at, self.deactivated_until, self.deactivation_reason = None, None, None
        self.updated_at = at

    def delete(self, *, at: datetime, by_owner: bool = False) -> None:
        self.is_active, self.deleted_at, self.deleted_by_owner, self.updated_at = False, at, by_owner, at

    def restore(self, *, at: datetime) -> None:
        """Undo the deletion: the account is active unless it was deactivated."""
        self.is_active, self.deleted_at, self.updated_at = self.deactivated_at is None, None, at
        self.deleted_by_owner = False


class HasStatus(Protocol):
    """The columns that decide a user's status."""

    @property
    def is_active(self) -> bool: ...
    @property
    def email_verified_at(self) -> datetime | None: ...
    @property
    def deleted_at(self) -> datetime | None: ...


def status_of(user: HasStatus) -> Status:
    """Return a user's status for pages, API, CSV and commands. `services/user_search.py` filters by the same."""
    if user.deleted_at is not None:
        return "deleted"
    if not user.is_active:
        return "deactivated"
    return "unconfirmed" if user.email_verified_at is None else "active"


class UserWord(Base):
    """A word of a user's name, case folded, or `@` and the domain of their address: the index for searching."""

    __tablename__ = "user_words"
    __table_args__ = ({"sqlite_with_rowid": False, "info": {OWN_DATA: None}},)

    word: Mapped[str] = mapped_column(by_bytes(100), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, index=True)


@event.listens_for(User, "before_update")
def _raise_version(mapper: object, connection: Connection, user: User) -> None:
    if object_session(user).is_modified(user, include_collections=False):  # type: ignore[union-attr]
        user.version = User.version + 1


@event.listens_for(User, "after_insert")
@event.listens_for(User, "after_update")
def _keep_words(mapper: object, connection: Connection, user: User) -> None:
    changes = inspect(user).attrs
    if changes.name.history.has_changes() or changes.email.history.has_changes():
        keep_words(connection, user.id, user.name, user.email)


def keep_words(connection: Connection, user_id: int, name: str, email: str) -> None:
    """Store the words that find a user, and no others."""
    connection.execute(delete(UserWord).where(UserWord.user_id == user_id))
    words = words_of(searched_text(name, email))
    connection.execute(insert(UserWord), [{"user_id": user_id, "word": word} for word in words])


def searched_text(name: str, email: str) -> str:
    """Return the text whose words find a user."""
    return f"{name} @{email.rpartition('@')[2]}"


def words_of(text: str) -> list[str]:
    """Return the words of a name or search in the form that is compared."""
    return sorted({word[:100] for word in text.casefold().split()})


class EmailChange(Base):
    """A change of address: requested, then confirmed at the new address, or undone from the old one."""

    __tablename__ = "email_changes"
    __table_args__ = (
        # At most one pending change for each user, even with simultaneous requests.
        partial_index("uq_email_changes_pending", "user_id", unique=True, where=PENDING),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    old_email: Mapped[str] = mapped_column(String(STORED_ADDRESS_LENGTH))
    new_email: Mapped[str] = mapped_column(String(STORED_ADDRESS_LENGTH))
    requested_at: Mapped[datetime]
    confirmed_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
