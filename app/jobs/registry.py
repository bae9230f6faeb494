"""The registry of handlers: one function for each task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from app.emails import Message
from app.services.job_queue import Claim
from app.tasks import Task
from app.unit_of_work import Work

# A handler works in the transaction that completes its job. One that sends a mail returns the message instead: it is
# sent with no transaction open, and the job is completed after that.
Handler = Callable[[Work, Any, Claim], Message | None]
Handling = TypeVar("Handling", bound=Handler)

HANDLERS: dict[type[Task], Handler] = {}


def handles(task: type[Task]) -> Callable[[Handling], Handling]:
    """Register the handler of `task`. Raises ValueError for a second one."""

    def mark(handler: Handling) -> Handling:
        if task in HANDLERS:
            raise ValueError(f"{task.__name__} has two handlers")
        HANDLERS[task] = handler
        return handler

    return mark
