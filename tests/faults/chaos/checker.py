"""The checker: collects evidence at the end and lists what is wrong with it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass

from sqlalchemy import func, select, text, update

from app.jobs.models import OPEN, Job, JobState
from app.mail.models import MailStatus, SentMail
from tests.faults.chaos.load import Promises
from tests.faults.chaos.rig import Rig

DRAINED_WITHIN = 60.0
# Allowed responses for visitors: accepted, try again later, or too many requests.
HONEST_ANSWERS = {201, 303, 429, 503}


@dataclass
class Evidence:
    """The state found at the end. `copies` and `tries` are keyed by message ID."""

    promises: Promises
    effects: Counter[int]
    copies: Counter[str]
    addressees: set[str]
    tries: dict[str, int]
    recorded: set[str]
    dead: list[str]
    unfinished: list[str]
    drained_after: float | None


def drained(rig: Rig, *, within: float) -> float | None:
    """Return the seconds until no job is open, or None. Waits between attempts are skipped."""
    deployment, began = rig.deployment, time.monotonic()
    while (seconds := time.monotonic() - began) < within:
        rig.start_dead()
        with deployment.work() as work:
            if not work.session.scalar(select(func.count()).select_from(Job).where(OPEN)):
                return seconds
            later = update(Job).where(Job.state == JobState.WAITING, Job.run_after > work.clock())
            work.session.execute(later.values(run_after=work.clock()))
        threading.Event().wait(0.1)
    return None


def gather(rig: Rig, promises: Promises, *, within: float = DRAINED_WITHIN) -> Evidence:
    seconds = drained(rig, within=within)
    accepted = [line.split(" ", 1) for line in rig.mails.read_text().splitlines()] if rig.mails.exists() else []
    with rig.deployment.read() as work:
        session = work.session
        return Evidence(
            promises,
            effects=Counter(session.scalars(text("SELECT number FROM chaos_effects")).all()),
            copies=Counter(message_id for message_id, _ in accepted),
            addressees={to for _, to in accepted},
            tries=dict(
                session.execute(select(SentMail.message_id, Job.attempts).join(Job, Job.id == SentMail.job_id)).all()
            ),
            recorded={*session.scalars(select(SentMail.message_id).where(SentMail.status == MailStatus.SENT))},
            dead=[described(job) for job in session.scalars(select(Job).where(Job.state == JobState.DEAD))],
            unfinished=[described(job) for job in session.scalars(select(Job).where(OPEN))],
            drained_after=seconds,
        )


def described(job: Job) -> str:
    return f"{job.kind} {job.id}, {job.state}, try {job.attempts}: {job.outcome}"


def problems(evidence: Evidence) -> list[str]:
    """List violated invariants, as sentences."""
    lost = evidence.promises.numbers - set(evidence.effects)
    twice = [number for number, times in evidence.effects.items() if times > 1]
    unmailed = evidence.promises.addresses - evidence.addressees
    # An attempt sends one email, so a second copy needs a second attempt after SMTP accepted the first.
    too_many = [effect for effect, copies in evidence.copies.items() if copies > evidence.tries.get(effect, 0)]
    dishonest = set(evidence.promises.answers) - HONEST_ANSWERS
    checks = {
        f"not drained in time: {evidence.unfinished[:5]}": evidence.drained_after is None,
        f"{len(lost)} effects are lost, like {sorted(lost)[:3]}": lost,
        f"{len(twice)} effects happened twice, like {sorted(twice)[:3]}": twice,
        f"{len(unmailed)} mails are lost, like to {sorted(unmailed)[:3]}": unmailed,
        f"{len(too_many)} mails went out more often than they were tried": too_many,
        f"{len(set(evidence.copies) - evidence.recorded)} mails went out that are not recorded as sent": set(
            evidence.copies
        )
        - evidence.recorded,
        f"jobs died: {evidence.dead[:3]}": evidence.dead,
        f"pages answered {sorted(dishonest)}": dishonest,
    }
    return [sentence for sentence, is_so in checks.items() if is_so]
