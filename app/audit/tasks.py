"""Tasks: frozen dataclasses that hold only IDs; `handlers.py` performs them."""

from app.jobs.tasks import BULK, Task


class SealAuditEvents(Task, kind="seal_audit_events", title="Seal audit log", queue=BULK):
    """Add audit events to the chain of hashes, and delete those past their retention."""
