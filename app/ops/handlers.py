"""Job handlers."""

from app.core.extensions import features
from app.jobs.registry import Run, handles_in_steps, repeat_steps
from app.ops.tasks import PurgeExpired


@handles_in_steps(PurgeExpired)
def purge_expired(run: Run, task: PurgeExpired) -> str:
    return (
        f"rows deleted: {repeat_steps(run, 5000, lambda work: sum(purge(work, 5000) for purge in features().purges))}"
    )
