"""The registry of task handlers."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from flask import g

from app.core import errors
from app.core.extensions import features
from app.core.principal import Actor, Origin, Visit
from app.jobs.services.queue import Claim
from app.jobs.tasks import Task
from app.mail.rendering import Message
from app.unit_of_work import Work, unit_of_work

# A handler works in the transaction that completes its job. One that sends a mail returns the message instead: it is
# sent with no transaction open, and the job is completed after that.
Handler = Callable[[Work, Any, Claim], Message | None]
Registered = TypeVar("Registered", bound=Callable[..., Any])

HANDLERS: dict[type[Task], Handler] = {}

# After this a job goes on in a new call of a worker, so that RQ's time limit (MAX_JOB_SECONDS) is never met.
MAX_RUN_SECONDS = 5 * 60


@dataclass(frozen=True)
class Run:
    """A try of a task that is done in steps."""

    claim: Claim
    began: float = field(default_factory=time.monotonic)
    steps: list[None] = field(default_factory=list)

    @contextmanager
    def step(self, *, by: Actor | None = None) -> Iterator[Work]:
        """Open a unit of work that commits only while we hold the lease, together with `work.progress(...)`.

        `by` is on whose behalf, for the audit log. Raises LeaseLost, JobCancelled, and JobRequeued before a step (never
        the first) when the worker stops.
        """
        if self.steps and (stops() or time.monotonic() - self.began > MAX_RUN_SECONDS):
            raise errors.JobRequeued
        with unit_of_work(origin=origin_of(self.claim, by=by)) as work:
            yield work
            work.job_queue.heartbeat(self.claim, **work.progress_made)
        self.steps.append(None)


# A task done in steps, each a transaction of its own; it returns the outcome. A later try goes on from
# `run.claim.position`, so each step stores with `work.progress` where the next begins.
SteppedHandler = Callable[[Run, Any], str | None]

STEPPED: dict[type[Task], SteppedHandler] = {}


def _registrar(registry: dict[type[Task], Any]) -> Callable[[type[Task]], Callable[[Registered], Registered]]:
    def register(task: type[Task]) -> Callable[[Registered], Registered]:
        """Register the handler of `task`. Raises ValueError for a second one."""

        def mark(handler: Registered) -> Registered:
            if task in HANDLERS or task in STEPPED:
                raise ValueError(f"{task.__name__} has two handlers")
            registry[task] = handler
            return handler

        return mark

    return register


handles, handles_in_steps = _registrar(HANDLERS), _registrar(STEPPED)


def read_task(claim: Claim) -> Task | None:
    """Return the task of a job, or None if its feature is off or was deleted, or if only another release knows it."""
    kind = Task.kinds.get(claim.kind)
    if kind is None or (kind.__module__.startswith("app.") and kind.__module__.split(".")[1] not in features().active):
        return None
    return Task.read(claim.kind, claim.arguments)


def handler_of(task: Task) -> Handler:
    """Return the handler of the task's class or of a class that it inherits from, as all emails share one."""
    return next(HANDLERS[kind] for kind in type(task).__mro__ if kind in HANDLERS)


def stops() -> bool:
    """Return whether this process has to stop after the current job."""
    should_stop: Callable[[], bool] | None = g.get("stops")
    return should_stop is not None and should_stop()


def origin_of(claim: Claim | None, *, by: Actor | None = None) -> Origin:
    return Origin(Visit(request_id=claim.request_id if claim else None), by, entry_point="job")


def repeat_steps(run: Run, batch: int, act: Callable[[Work], int]) -> int:
    """Repeat `act`, one step each, until it processed less than a batch; return the total."""
    done = 0
    while True:
        with run.step() as work:
            count = act(work)
            done += count
            work.progress(done)
        if count < batch:
            return done
