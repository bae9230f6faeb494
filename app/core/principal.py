"""Who acts and from where: immutable values for all entry points and services."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Principal:
    """A signed-in user and their credential.

    `authenticated_at` is when the session began, `confirmed_at` when its owner last confirmed their identity in it
    (long ago for an API key). `via` is the kind of credential; with an API key `session_id` is 0, and `key_id` and
    `key_prefix` name the key. `impersonator_id` is the administrator who impersonates this user in their own session. A
    user who `lacks_factor` has a role that requires a second factor, and none: they can do nothing before they have set
    one up. `time_zone` is the owner's, in a browser (of the impersonator during impersonation); None stands for that of
    the site. The `is_*` properties and `get_id` are the interface that Flask-Login expects.
    """

    user_id: int
    name: str
    email: str
    member_since: datetime
    roles: tuple[str, ...]
    permissions: frozenset[str]
    session_id: int
    authenticated_at: datetime
    confirmed_at: datetime
    via: Literal["cookie", "access_token", "api_key"] = "cookie"
    key_id: int = 0
    key_prefix: str = ""
    impersonator_id: int | None = None
    impersonated_until: datetime | None = None
    lacks_factor: bool = False
    time_zone: str | None = None

    @property
    def display_name(self) -> str:
        """Return the name, or the email address of a user without one."""
        return self.name or self.email

    @property
    def initials(self) -> str:
        """Return the first letters of the first and last word of the name, or of the address."""
        words = self.display_name.split()
        return "".join(dict.fromkeys(word[0] for word in (words[0], words[-1]))).upper()

    @property
    def account_id(self) -> int:
        """Return the owner of the session or key: the impersonator, or the user."""
        return self.impersonator_id or self.user_id

    @property
    def is_key(self) -> bool:
        return self.via == "api_key"

    @property
    def uses_grants(self) -> bool:
        """Return whether grants apply: they are personal, so neither an API key nor an impersonator has them."""
        return not self.is_key and self.impersonator_id is None

    @property
    def is_authenticated(self) -> bool:
        return True

    @property
    def is_active(self) -> bool:
        return True

    @property
    def is_anonymous(self) -> bool:
        return False

    def get_id(self) -> str:
        return str(self.user_id)

    def has(self, permission: str) -> bool:
        return permission in self.permissions


@dataclass(frozen=True, slots=True)
class Operator:
    """The person who runs commands on the server. The policy allows them everything."""

    user_id: None = None


OPERATOR = Operator()

# Who acts: a person, perhaps through an API key, perhaps with an impersonator behind them; or the command line.
Actor = Principal | Operator


@dataclass(frozen=True, slots=True)
class Visit:
    """Where a request came from: what audit events, sessions and throttles need to know of it.

    `address` is the client's IP address, `user_agent` at most 500 characters of the header,
    `device_token` the value of this browser's device cookie (None when it has none).
    """

    address: str | None = None
    user_agent: str = ""
    request_id: str | None = None
    device_token: str | None = None


NO_VISIT = Visit()


@dataclass(frozen=True, slots=True)
class Origin:
    """Who acts and from where; `actor` is None for anonymous requests, and for jobs that no user started."""

    visit: Visit
    actor: Actor | None = None
    entry_point: str = "web"

    @property
    def principal(self) -> Principal | None:
        return self.actor if isinstance(self.actor, Principal) else None

    def values(self) -> dict[str, Any]:
        """Return additions to an event's details: the entry point, unless it is a page, and the API key."""
        principal = self.principal
        is_key = principal is not None and principal.is_key
        key = {"api_key": principal.key_id, "api_key_prefix": principal.key_prefix} if principal and is_key else {}
        return key if self.entry_point == "web" else {**key, "entry_point": self.entry_point}
