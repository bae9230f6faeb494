"""Job handlers."""

from app.api_keys.service import ApiKeys
from app.api_keys.tasks import WarnOfExpiringKeys
from app.jobs.registry import Run, handles_in_steps, repeat_steps


@handles_in_steps(WarnOfExpiringKeys)
def warn_of_expiring_keys(run: Run, task: WarnOfExpiringKeys) -> str:
    return f"warnings: {repeat_steps(run, 500, lambda work: work[ApiKeys].warn_of_expiry(at_most=500))}"
