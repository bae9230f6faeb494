"""Job handlers."""

from app.jobs.registry import handles
from app.jobs.services.queue import Claim
from app.jobs.tasks import NoOperation
from app.unit_of_work import Work


@handles(NoOperation)
def no_operation(work: Work, task: NoOperation, claim: Claim) -> None:
    return None
