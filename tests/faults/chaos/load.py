"""The load: jobs and sign-ups during faults, and a record of what was promised."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPException

from sqlalchemy.exc import SQLAlchemyError

from app.api_keys.service import ApiKeys
from app.core.principal import Principal
from app.users.models import ADMINISTRATOR
from app.users.permissions import USERS_INVITE
from tests.faults.caller import Caller, token_in
from tests.faults.chaos.rig import Rig
from tests.support.deployment import task_of

STEPS = 20


@dataclass
class Promises:
    """What the application acknowledged: numbers of effects, and addresses that must get an email."""

    numbers: set[int] = field(default_factory=set)
    addresses: set[str] = field(default_factory=set)
    answers: Counter[int] = field(default_factory=Counter)


@contextmanager
def load(rig: Rig) -> Iterator[Promises]:
    """Enqueue jobs and sign users up, more slowly than workers can process them, until the block ends."""
    promises, over = Promises(), threading.Event()
    kinds = (enqueue_jobs, sign_people_up, partial(invite_people, make_key(rig)))
    busy = [threading.Thread(target=kind, args=(rig, promises, over)) for kind in kinds]
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


def make_key(rig: Rig) -> str:
    """Create an API key of an administrator."""
    user_id = rig.deployment.add_user("chief@example.com", password="a quieter harbour", roles=[ADMINISTRATOR])
    with rig.deployment.work() as work:
        now = work.clock()
        chief = Principal(user_id, "", "chief@example.com", now, (), frozenset({USERS_INVITE}), 1, now, now)
        return work[ApiKeys].create_key(chief, name="chaos", scopes=[USERS_INVITE], expires_at=None)[1]


def invite_people(key: str, rig: Rig, promises: Promises, over: threading.Event) -> None:
    """Invite users through the API, whose limits are counted in Valkey after the commit."""
    number = 0
    while not over.wait(0.5):
        number += 1
        address = f"guest{number}@example.com"
        with suppress(OSError, HTTPException):
            caller = Caller(rig.deployment.url)
            answer = caller.ask("POST", "/api/v1/users", {"email": address}, Authorization=f"Bearer {key}")
            if answer.status == 201:
                promises.addresses.add(address)
            promises.answers[answer.status] += 1


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
