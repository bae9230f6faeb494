"""How each promise is kept: one function a kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from app.emails import Message
from app.promises import Promise
from app.services.ledger import Claim
from app.unit_of_work import Work

# A job works in the transaction that will acknowledge it. One that sends a mail returns the message instead: it goes
# out when nothing is open, and is acknowledged after.
Function = Callable[[Work, Any, Claim], Message | None]
Kept = TypeVar("Kept", bound=Function)

FUNCTIONS: dict[type[Promise], Function] = {}


def keeps(promise: type[Promise]) -> Callable[[Kept], Kept]:
    """Mark the function that keeps `promise`. Raises ValueError for a second one."""

    def mark(function: Kept) -> Kept:
        if promise in FUNCTIONS:
            raise ValueError(f"{promise.__name__} is kept by two functions")
        FUNCTIONS[promise] = function
        return function

    return mark
