"""Job handlers."""

from app.audit.services.chain import BATCH
from app.audit.tasks import SealAuditEvents
from app.jobs.registry import Run, handles_in_steps, repeat_steps


@handles_in_steps(SealAuditEvents)
def seal_audit_events(run: Run, task: SealAuditEvents) -> str:
    sealed = repeat_steps(run, BATCH, lambda work: work.audit_chain.seal())
    pruned = repeat_steps(run, 1, lambda work: work.audit_chain.prune())
    return f"events sealed: {sealed}, deleted: {pruned}"
