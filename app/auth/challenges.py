"""Challenges of this browser, held in its signed session cookie."""

from datetime import UTC, datetime
from typing import Any

from flask import session

from app.core import errors
from app.core.extensions import now
from app.core.tokens import is_same, new_token
from app.unit_of_work import unit_of_work
from app.web.session_cookie import CHALLENGE


def issue_challenge(purpose: str, *kept: Any, at_once: int = 2) -> str:
    """Return a new challenge of 256 bits, and store `kept` (JSON) with it until it is spent.

    At most `at_once` are open, for several tabs: browsers limit a cookie to 4 KiB.
    """
    challenge = new_token()
    session[_key(purpose)] = [*_held(purpose), [challenge, int(now().timestamp()), *kept]][-at_once:]
    return challenge


def spend(purpose: str, challenge: str) -> list[Any]:
    """Return the values stored with a challenge of this purpose and browser, once. Raises InvalidChallenge."""
    matching = [held for held in _held(purpose) if is_same(held[0], challenge)]
    if not matching:
        raise errors.InvalidChallenge
    session[_key(purpose)] = [held for held in _held(purpose) if held not in matching]
    begun_at, kept = matching[0][1], [*matching[0][2:]]
    with unit_of_work() as work:
        work.challenges.spend(challenge, begun_at=datetime.fromtimestamp(begun_at, UTC))
    return kept


def _held(purpose: str) -> list[Any]:
    held = session.get(_key(purpose))
    return held if isinstance(held, list) else []


def _key(purpose: str) -> str:
    return f"{CHALLENGE}{purpose}"
