"""One attempt of a job: claim it, run its handler, complete it; after a crash it is claimed again when its lease
expires.
"""

import logging
import os
import socket
import time
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from flask import current_app, g
from sqlalchemy.exc import OperationalError

from app.core import errors
from app.core.extensions import now, settings
from app.core.lengths import MAX_OUTCOME_LENGTH
from app.core.metrics import metrics
from app.jobs.registry import STEPPED, Run, handler_of, origin_of, read_task, stops
from app.jobs.services.queue import Claim
from app.jobs.tasks import Task
from app.mail.models import MailStatus
from app.mail.rendering import Message
from app.mail.sender import MailDelayed, MailRefused, send
from app.unit_of_work import Work, unit_of_work

log = logging.getLogger(__name__)

RECORD_AGAIN_SECONDS = 2.0
UNKNOWN = "no feature here does this job: it is disabled, was deleted, or belongs to another release"
HERE = f"{Path(__file__).parents[2]}/"


def perform(job_id: int) -> None:
    """Try the job once, if it is free. Called by RQ with the id and nothing else."""
    with unit_of_work(origin=origin_of(None)) as work:
        claim = work.job_queue.claim(job_id, worker=f"{socket.gethostname()[:80]}:{os.getpid()}")
    if claim is None:
        return
    g.request_id = claim.request_id
    with current_app.extensions.get("around_job", nullcontext)(claim.kind):
        _try(claim)


def _try(claim: Claim) -> None:
    began, outcome = time.perf_counter(), "failed"
    try:
        outcome = _perform(claim)
    except errors.LeaseLost:
        outcome = "lease_lost"
        log.warning("lease lost", extra={"job_id": claim.job_id, "kind": claim.kind})
    except Exception as problem:
        log.exception("job failed", extra={"job_id": claim.job_id, "kind": claim.kind})
        _note_failure(claim, problem)
        raise errors.JobFailed(f"job {claim.job_id}") from None
    finally:
        metrics.job(task=claim.kind, outcome=outcome, seconds=time.perf_counter() - began)


def _perform(claim: Claim) -> str:
    """Run one attempt; return its outcome: done, cancelled, handed_back, mail_refused, mail_delayed or unknown."""
    task = read_task(claim)
    if task is None:
        with unit_of_work(origin=origin_of(claim)) as work:
            work.job_queue.retry_later(claim, outcome=UNKNOWN)
        return "unknown"
    if type(task) in STEPPED:
        return _perform_in_steps(claim, task)
    with unit_of_work(origin=origin_of(claim)) as work:
        try:
            message, outcome = handler_of(task)(work, task, claim), None
        except errors.InvalidLink:
            message, outcome = None, "the link was used, has expired, or was replaced"
        except errors.NothingToDo as reason:
            message, outcome = None, str(reason)
        if message is None:
            work.job_queue.complete(claim, outcome=outcome)
            return "done"
        message_id = _open_record(work, claim, message)
    return _deliver(claim, message, message_id)


def _perform_in_steps(claim: Claim, task: Task) -> str:
    try:
        outcome = _stepped(claim, task)
    except errors.JobCancelled:
        with unit_of_work(origin=origin_of(claim)) as work:
            work.job_queue.stop(claim)
        return "cancelled"
    except errors.JobRequeued:
        with unit_of_work(origin=origin_of(claim)) as work:
            work.job_queue.hand_back(claim)
        return "handed_back"
    with unit_of_work(origin=origin_of(claim)) as work:
        work.job_queue.complete(claim, outcome=outcome and outcome[:MAX_OUTCOME_LENGTH])
    return "done"


def _stepped(claim: Claim, task: Task) -> str | None:
    try:
        return STEPPED[type(task)](Run(claim), task)
    except errors.NothingToDo as reason:
        return str(reason)


def _open_record(work: Work, claim: Claim, message: Message) -> str:
    return work.mail_quota.open(
        job_id=claim.job_id,
        kind=message.kind,
        user_id=message.user_id,
        recipient=message.to,
        subject=message.subject,
        domain=settings().sender.domain.strip("[]").replace(":", "-"),
    ).message_id


def _deliver(claim: Claim, message: Message, message_id: str) -> str:
    """Send the email and record the result; returns the outcome of the attempt."""
    try:
        status, answer = MailStatus.SENT, send(message, message_id=message_id, at=now(), settings=settings())
    except (MailRefused, MailDelayed) as problem:
        status = MailStatus.REFUSED if isinstance(problem, MailRefused) else MailStatus.DELAYED
        answer = str(problem)

    def record_result(work: Work) -> None:
        work.mail_quota.close(claim.job_id, status=status, answer=answer)
        if status == MailStatus.SENT:
            work.links.sent(claim.job_id)
            work.job_queue.complete(claim)
        elif status == MailStatus.REFUSED:
            outcome = f"the mail server refused the email: {answer}"[:MAX_OUTCOME_LENGTH]
            work.job_queue.discard(claim, outcome=outcome)
        else:
            outcome = f"the mail server did not accept the email yet: {answer}"[:MAX_OUTCOME_LENGTH]
            work.job_queue.retry_later(claim, outcome=outcome)

    _record(claim, record_result)
    return "done" if status == MailStatus.SENT else f"mail_{status}"


def _note_failure(claim: Claim, problem: Exception) -> None:
    # Its type and place only: the message can contain personal data and secrets.
    outcome, traceback = f"failed with {type(problem).__name__}", frames_of(problem)
    try:
        _record(claim, lambda work: work.job_queue.retry_later(claim, outcome=outcome, traceback=traceback))
    except errors.LeaseLost:
        log.warning("lease lost", extra={"job_id": claim.job_id, "kind": claim.kind})


def _record(claim: Claim, write: Callable[[Work], None]) -> None:
    """Commit the outcome of an attempt, retrying for the length of a lease if the database is full or unreachable.

    Without that the job would be held until its lease ends. Raises LeaseLost, and OperationalError when it gives up.
    """
    until = time.monotonic() + settings().job_lease_seconds
    while True:
        try:
            with unit_of_work(origin=origin_of(claim)) as work:
                write(work)
            return
        except OperationalError:
            if stops() or time.monotonic() > until:
                raise
            log.warning("the end of a job cannot be stored yet", extra={"job_id": claim.job_id, "kind": claim.kind})
        time.sleep(RECORD_AGAIN_SECONDS)


def frames_of(problem: BaseException) -> str:
    """Return file, line and function of each frame, innermost last, without values."""
    return "\n".join(
        f"{frame.filename.removeprefix(HERE).rpartition('site-packages/')[2]}:{frame.lineno} in {frame.name}"
        for frame in traceback.extract_tb(problem.__traceback__, limit=-12)
    )
