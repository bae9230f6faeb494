"""Tasks: frozen dataclasses that hold only IDs; `handlers.py` performs them."""

from app.jobs.tasks import BULK, MailTask


class ExportOwnData(MailTask, kind="export_own_data", title="Export user data", queue=BULK):
    """Make the copy of a user's data in the file, and tell them."""

    user_id: int
    file_id: int
