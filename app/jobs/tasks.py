"""Tasks: frozen dataclasses that hold only IDs. Handlers perform them: `handlers.py` beside each `tasks.py`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, dataclass_transform

URGENT, DEFAULT, BULK = "urgent", "default", "bulk"
QUEUES = (URGENT, DEFAULT, BULK)


@dataclass_transform(frozen_default=True)
@dataclass(frozen=True)
class Task:
    """Base class of tasks, which are frozen dataclasses; the names of its fields are stored with each job.

    `kind` is the stored name, `title` the one on pages. `queue` is the priority. After `max_attempts` failed attempts
    the job is dead. Nobody can cancel a task that `is_warning`: it warns a user about their account.
    """

    kind: ClassVar[str] = ""
    title: ClassVar[str] = ""
    queue: ClassVar[str] = DEFAULT
    is_warning: ClassVar[bool] = False
    max_attempts: ClassVar[int] = 8
    kinds: ClassVar[dict[str, type[Task]]] = {}

    def __init_subclass__(cls, *, kind: str = "", title: str = "", queue: str = "") -> None:
        super().__init_subclass__()
        dataclass(frozen=True)(cls)
        cls.queue = queue or cls.queue
        if kind:
            cls.kind, cls.title = kind, title or kind.replace("_", " ").capitalize()
            Task.kinds[kind] = cls

    def arguments(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def read(kind: str, arguments: dict[str, Any]) -> Task:
        """Return the task of a stored job. Raises KeyError for a kind or argument that this version does not know."""
        task = Task.kinds[kind]
        names = {field.name for field in fields(task)}
        if names != set(arguments):
            raise KeyError(kind)
        return task(**arguments)


class MailTask(Task):
    """A task that sends one email. Its attempts last longer than a mail server's outage of a day."""

    # Waits of 5 s doubling up to an hour, then an hour each, with 20 % jitter: at least 25 hours.
    max_attempts: ClassVar[int] = 42


class NoOperation(Task, kind="no_operation", title="Do nothing"):
    """Does nothing: for `make bench` and for checking the workers."""
