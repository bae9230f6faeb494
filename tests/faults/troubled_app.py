"""The application with two jobs of its own that no deployment wishes for. Workers load it; the tests only name its jobs."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from typing import ClassVar

from app import create_app
from app.emails import Message
from app.jobs.registry import handles
from app.services.job_queue import Claim
from app.tasks import BULK, Task
from app.unit_of_work import Work


@dataclass(frozen=True)
class KillItsWorker(Task):
    max_attempts: ClassVar[int] = 2


@dataclass(frozen=True)
class SendNewsletter(Task):
    queue: ClassVar[str] = BULK
    to: str


@handles(KillItsWorker)
def kill_its_worker(work: Work, task: KillItsWorker, claim: Claim) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@handles(SendNewsletter)
def send_newsletter(work: Work, task: SendNewsletter, claim: Claim) -> Message:
    return Message("newsletter", None, task.to, "News", "There is news.", "<p>There is news.</p>")


app = create_app()
