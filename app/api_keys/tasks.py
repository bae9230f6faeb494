"""Tasks: frozen dataclasses that hold only IDs; `handlers.py` performs them."""

from app.jobs.tasks import BULK, Task


class WarnOfExpiringKeys(Task, kind="warn_of_expiring_keys", title="Find expiring API keys", queue=BULK):
    """Enqueue an email for each API key that expires soon."""
