"""Tasks: frozen dataclasses that hold only IDs; `handlers.py` performs them."""

from app.jobs.tasks import BULK, Task


class SendWeeklyReports(Task, kind="send_weekly_reports", title="Send weekly reports", queue=BULK):
    """Enqueue a report for each subscriber."""
