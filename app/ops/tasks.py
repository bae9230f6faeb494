"""Tasks: frozen dataclasses that hold only IDs; `handlers.py` performs them."""

from app.jobs.tasks import BULK, Task


class PurgeExpired(Task, kind="purge_expired", title="Delete expired data", queue=BULK):
    """Delete ended sessions and links, idle throttles, finished jobs and old email records."""
