"""Which function performs a task: one each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from app.emails import Message
from app.services.ledger import Claim
from app.tasks import Task
from app.unit_of_work import Work

# A job works in the transaction that will acknowledge it. One that sends a mail returns the message instead: it goes
# out when nothing is open, and is acknowledged after.
Function = Callable[[Work, Any, Claim], Message | None]
Kept = TypeVar("Kept", bound=Function)

FUNCTIONS: dict[type[Task], Function] = {}


def keeps(task: type[Task]) -> Callable[[Kept], Kept]:
    """Mark the function that keeps `task`. Raises ValueError for a second one."""

    def mark(function: Kept) -> Kept:
        if task in FUNCTIONS:
            raise ValueError(f"{task.__name__} is kept by two functions")
        FUNCTIONS[task] = function
        return function

    return mark
