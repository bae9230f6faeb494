"""The application with extra tasks for tests of workers and the schedule."""

from __future__ import annotations

import os
import signal
import threading
from typing import ClassVar

import click
from flask import request
from sqlalchemy import text

from app import create_app
from app.jobs.registry import Run, handles, handles_in_steps
from app.jobs.services.queue import Claim, JobQueue
from app.jobs.tasks import BULK, Task
from app.mail.rendering import Message
from app.unit_of_work import Work


class KillItsWorker(Task, kind="kill_its_worker"):
    max_attempts: ClassVar[int] = 2


class SendNewsletter(Task, kind="send_newsletter"):
    queue: ClassVar[str] = BULK
    to: str


class CountOnce(Task, kind="count_once"):
    number: int


class CountInSteps(Task, kind="count_in_steps"):
    """Count numbers from the first on, one step for each."""

    first: int
    steps: int


class Break(Task, kind="break"):
    max_attempts: ClassVar[int] = 1


@handles(Break)
def break_down(work: Work, task: Break, claim: Claim) -> None:
    raise ValueError("a job is broken")


@handles(KillItsWorker)
def kill_its_worker(work: Work, task: KillItsWorker, claim: Claim) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@handles(SendNewsletter)
def send_newsletter(work: Work, task: SendNewsletter, claim: Claim) -> Message:
    return Message("newsletter", None, task.to, "News", "There is news.", "<p>There is news.</p>")


def count(work: Work, number: int) -> None:
    """An effect that shows when it is done twice; it takes a moment, so that faults interrupt it."""
    work.session.execute(text("INSERT INTO chaos_effects (number) VALUES (:number)"), {"number": number})
    threading.Event().wait(0.002)


@handles(CountOnce)
def count_once(work: Work, task: CountOnce, claim: Claim) -> None:
    count(work, task.number)


@handles_in_steps(CountInSteps)
def count_in_steps(run: Run, task: CountInSteps) -> str:
    for done in range(run.claim.done, task.steps):
        with run.step() as work:
            count(work, task.first + done)
            work.progress(done + 1, task.steps, position={})
    return f"{task.steps} numbers"


def never_rescue(queue: JobQueue, **_: object) -> int:
    return 0


if "WITHOUT_RESCUE" in os.environ:
    JobQueue.rescue = never_rescue  # type: ignore[method-assign]

app = create_app()


@app.route("/broken/<token>", methods=["GET", "POST"])
def broken(token: str) -> str:
    form = dict(request.form)
    raise ValueError(f"a page is broken, with {len(form)} fields")


@app.cli.command("break")
@click.argument("secret")
def break_command(secret: str) -> None:
    raise ValueError("a command is broken")
