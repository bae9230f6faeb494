"""One try of a job: claim it, run its handler, complete it. After a crash it is claimed again when its lease ends."""

from __future__ import annotations

import logging

from flask import g

from app.emails import MailDelayed, MailRefused, Message, send
from app.errors import DeadLink, LeaseLost, Pointless
from app.extensions import now, settings
from app.jobs import mails, upkeep
from app.jobs.registry import HANDLERS
from app.models import MailStatus
from app.principal import Visit
from app.services.audit import Origin
from app.services.job_queue import Claim
from app.tasks import Task
from app.unit_of_work import Work, unit_of_work

log = logging.getLogger(__name__)

__all__ = ["JobFailed", "mails", "perform", "upkeep"]


class JobFailed(Exception):
    """Tells RQ that the try failed, without any detail; the reason is in the job's row."""


def perform(job_id: int) -> None:
    """Try the job once, if it is free. Called by RQ with the id and nothing else."""
    with unit_of_work(origin=_origin(None)) as work:
        claim = work.job_queue.claim(job_id)
    if claim is None:
        return
    g.request_id = claim.request_id
    try:
        _perform(claim)
    except LeaseLost:
        log.warning("lease lost", extra={"job_id": job_id, "kind": claim.kind})
    except Exception as problem:
        log.exception("job failed", extra={"job_id": job_id, "kind": claim.kind})
        _note_failure(claim, problem)
        raise JobFailed(f"job {job_id}") from None


def _perform(claim: Claim) -> None:
    task = Task.read(claim.kind, claim.arguments)
    with unit_of_work(origin=_origin(claim)) as work:
        try:
            message, outcome = HANDLERS[type(task)](work, task, claim), None
        except DeadLink:
            message, outcome = None, "its link has ended: it was used, is too old, or a newer one was sent"
        except Pointless as reason:
            message, outcome = None, str(reason)
        if message is None:
            work.job_queue.complete(claim, outcome=outcome)
            return
        message_id = _open_record(work, claim, message)
    _deliver(claim, message, message_id)


def _open_record(work: Work, claim: Claim, message: Message) -> str:
    return work.mails.open(
        job_id=claim.job_id,
        kind=message.kind,
        user_id=message.user_id,
        recipient=message.to,
        subject=message.subject,
        domain=settings().sender.domain.strip("[]").replace(":", "-"),
    ).message_id


def _deliver(claim: Claim, message: Message, message_id: str) -> None:
    try:
        answer = send(message, message_id=message_id, at=now(), settings=settings())
    except MailRefused as refusal:
        with unit_of_work(origin=_origin(claim)) as work:
            work.mails.close(claim.job_id, status=MailStatus.REFUSED, answer=str(refusal))
            work.job_queue.discard(claim, outcome=f"the mail server refused it: {refusal}"[:500])
    except MailDelayed as delay:
        with unit_of_work(origin=_origin(claim)) as work:
            work.mails.close(claim.job_id, status=MailStatus.DELAYED, answer=str(delay))
            work.job_queue.retry_later(claim, outcome=f"the mail server did not take it yet: {delay}"[:500])
    else:
        with unit_of_work(origin=_origin(claim)) as work:
            work.mails.close(claim.job_id, status=MailStatus.SENT, answer=answer)
            work.links.sent(claim.job_id)
            work.job_queue.complete(claim)


def _note_failure(claim: Claim, problem: Exception) -> None:
    try:
        with unit_of_work(origin=_origin(claim)) as work:
            # The type of the error only: its message can contain personal data.
            work.job_queue.retry_later(claim, outcome=f"failed with {type(problem).__name__}")
    except LeaseLost:
        log.warning("lease lost", extra={"job_id": claim.job_id, "kind": claim.kind})


def _origin(claim: Claim | None) -> Origin:
    return Origin(Visit(request_id=claim.request_id if claim else None), entry_point="job")
