"""The load: jobs enqueued and people signed up while things break, and what was promised to them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPException

from sqlalchemy.exc import SQLAlchemyError

from tests.faults.caller import Caller, token_in
from tests.faults.chaos.rig import Rig
from tests.support.deployment import task_of

STEPS = 20


@dataclass
class Promises:
    """What was committed, as far as who asked was told: effects by number, and addresses that get a mail."""

    numbers: set[int] = field(default_factory=set)
    addresses: set[str] = field(default_factory=set)
    answers: Counter[int] = field(default_factory=Counter)


@contextmanager
def load(rig: Rig) -> Iterator[Promises]:
    """Enqueue jobs and sign people up, less than the workers can do, until the block ends."""
    promises, over = Promises(), threading.Event()
    busy = [threading.Thread(target=each, args=(rig, promises, over)) for each in (enqueue_jobs, sign_people_up)]
    for thread in busy:
        thread.start()
    try:
        yield promises
    finally:
        over.set()
        for thread in busy:
            thread.join()


def enqueue_jobs(rig: Rig, promises: Promises, over: threading.Event) -> None:
    number = 0
    while not over.wait(0.05):
        number += STEPS
        in_steps = number % (20 * STEPS) == 0
        task = (
            task_of("count_in_steps", first=number, steps=STEPS) if in_steps else task_of("count_once", number=number)
        )
        with suppress(SQLAlchemyError):
            with rig.deployment.work() as work:
                work.enqueue(task)
            promises.numbers.update(range(number, number + (STEPS if in_steps else 1)))


def sign_people_up(rig: Rig, promises: Promises, over: threading.Event) -> None:
    number = 0
    while not over.wait(0.2):
        number += 1
        address = f"person{number}@example.com"
        with suppress(OSError, HTTPException):
            caller = Caller(rig.deployment.url)
            answer = caller.get("/auth/register")
            if answer.status == 200:
                form = {
                    "csrf_token": token_in(answer),
                    "email": address,
                    "name": "Ada",
                    "password": "a quieter harbour",
                }
                answer = caller.send("/auth/register", **form)
                if answer.status == 303:
                    promises.addresses.add(address)
            promises.answers[answer.status] += answer.status != 200
