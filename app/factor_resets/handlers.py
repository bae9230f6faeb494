"""Job handlers."""

from app.factor_resets.service import FactorResets
from app.factor_resets.tasks import ResetFactors
from app.jobs.registry import handles
from app.jobs.services.queue import Claim
from app.unit_of_work import Work


@handles(ResetFactors)
def reset_factors(work: Work, task: ResetFactors, claim: Claim) -> None:
    work[FactorResets].apply_reset(task.reset_id)
