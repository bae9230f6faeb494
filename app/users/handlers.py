"""Job handlers."""

from app.core.extensions import features
from app.jobs.registry import Run, handles_in_steps, repeat_steps
from app.users.tasks import EndExpiredSuspensions


@handles_in_steps(EndExpiredSuspensions)
def end_expired_suspensions(run: Run, task: EndExpiredSuspensions) -> str:
    count = repeat_steps(run, 100, lambda work: sum(end(work, 100) for end in features().expirations))
    return f"expired suspensions and impersonations ended: {count}"
