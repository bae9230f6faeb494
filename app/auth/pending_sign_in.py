"""Sign-ins that continue on another page: an identity to be connected, and a second factor to be entered."""

from dataclasses import astuple, dataclass

from flask import session

from app.core.extensions import now
from app.core.tokens import token_hash
from app.web.session_cookie import PENDING

PENDING_PARTS = 7
HALF = "half"
HALF_SECONDS = 10 * 60


# ── an identity that a provider has confirmed in this browser (`app/oauth/pending.py`) ──


def bind_pending(target: str | None) -> None:
    """At sign-in, keep the pending identity only if the sign-in started where it was proved and leads to where it is
    connected.

    In a shared browser, someone else may have left it.
    """
    kept = session.get(PENDING)
    if kept is not None and (len(kept) != PENDING_PARTS or kept[-2] not in (target or "")):
        drop_pending()


def drop_pending() -> None:
    session.pop(PENDING, None)


# ── a sign-in that waits for its second factor ──


@dataclass(frozen=True, slots=True)
class PendingSecondFactor:
    """A sign-in that waits for its second factor. `proof` is valid until the password changes; `method` is the first
    factor.
    """

    user_id: int
    proof: str
    method: str
    remember: bool

    @property
    def handle(self) -> str:
        """Return a value that ties a form to this state: another tab may have started to sign in to another account."""
        return token_hash(self.proof)[:32]


def keep_pending_second_factor(pending: PendingSecondFactor) -> None:
    session[HALF] = [*astuple(pending), int(now().timestamp())]


def pending_second_factor() -> PendingSecondFactor | None:
    """Return the sign-in that was started in this browser within the last ten minutes, or None."""
    kept = session.get(HALF)
    if not isinstance(kept, list) or now().timestamp() - kept[-1] > HALF_SECONDS:
        return None
    return PendingSecondFactor(*kept[:4])  # Earlier releases kept more.
