"""Handlers of the tasks that send emails."""

from dataclasses import replace

from app.core import errors
from app.core.extensions import features
from app.jobs.registry import handles
from app.jobs.services.queue import Claim
from app.mail.kinds import EmailJob, EmailKind, EmailTask
from app.mail.rendering import Message, render, sample
from app.mail.tasks import SendSample
from app.unit_of_work import Work


@handles(EmailTask)
def send_email(work: Work, task: EmailTask, claim: Claim) -> Message:
    return render(task.compose(EmailJob(work, claim.job_id, features().label_methods())))


@handles(SendSample)
def send_sample(work: Work, task: SendSample, claim: Claim) -> Message:
    user, kinds = EmailJob(work, claim.job_id, {}).active(task.user_id), EmailKind.list_kinds()
    if not 0 <= task.sample_id < len(kinds):
        raise errors.NothingToDo("unknown sample")
    message = sample(kinds[task.sample_id])
    return replace(message, kind="sample", user_id=user.id, to=user.email, subject=f"[Sample] {message.subject}")
