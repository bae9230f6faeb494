"""Second factors that features add: passkeys, authenticator apps."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from app.auth.access import Words
from app.auth.models import Authenticator
from app.core.service import Services

# Why a user is asked for a second factor; a response for one purpose is not accepted for another.
SIGN_IN, TWO_FACTOR, CONFIRM, UNDO = "sign-in", "two-factor", "confirm", "undo"


@dataclass(frozen=True, slots=True)
class ProvedFactor:
    """A second factor of `user_id` that was just used, and when it was added."""

    user_id: int
    added_at: datetime


@dataclass(frozen=True, kw_only=True)
class CodeSource:
    """Codes that users type, of `source` ("your authenticator app"); `hint` describes one.

    `take_code` gets services, the authenticator and a normalized code; it returns whether the code is right, and spends
    it.
    """

    source: str
    hint: str
    take_code: Callable[[Services, Authenticator, str], bool]


@dataclass(frozen=True, kw_only=True)
class FactorKind:
    """A kind of second factor; its rows in `authenticators` have this `kind`.

    `is_way_in` says that it signs in without a password. A factor of `codes` is proved by typing one; of others the
    browser sends a response, and `verify_response` gets it with its purpose and the user's ID, spends it, and raises
    FactorRefused if it is not right. `changes` are subject and text of emails by kind of the audit event, besides those
    that all factors have.
    """

    kind: str
    words: Words
    is_way_in: bool = False
    codes: CodeSource | None = None
    verify_response: Callable[[str, str, int], ProvedFactor] | None = None
    changes: Mapping[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ProofRequest:
    """What the parts of `PROOF` are about: a purpose, and the user if they are known.

    `next` is the page afterwards. The page that undoes an addition accepts only factors from `before` it, and its form
    sends `link` along.
    """

    purpose: str
    user_id: int | None = None
    next: str | None = None
    before: datetime | None = None
    link: str = ""
