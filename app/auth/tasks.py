"""Tasks: frozen dataclasses that hold only IDs; `handlers.py` performs them."""

from app.jobs.tasks import BULK, Task


class PurgeUnconfirmed(Task, kind="purge_unconfirmed", title="Delete unconfirmed accounts", queue=BULK):
    """Delete accounts whose address was never confirmed."""


class SaveLastSeen(Task, kind="note_uses", title="Save last-seen times", queue=BULK):
    """Write when sessions and API keys were last used, as collected in Redis or Valkey."""
