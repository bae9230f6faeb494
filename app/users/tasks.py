"""Tasks: frozen dataclasses that hold only IDs; `handlers.py` performs them."""

from app.jobs.tasks import BULK, Task


class EndExpiredSuspensions(Task, kind="settle_accounts", title="End expired suspensions", queue=BULK):
    """End what has run out: deactivations, the undo times of deleted accounts, impersonations."""
