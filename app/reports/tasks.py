"""Tasks: frozen dataclasses that hold only IDs; `handlers.py` performs them."""

from app.jobs.tasks import BULK, Task


class CountStatistics(Task, kind="count_statistics", title="Update reports", queue=BULK):
    """Count what reports show."""


class SendWeeklyReports(Task, kind="send_weekly_reports", title="Send weekly reports", queue=BULK):
    """Enqueue a report for each subscriber."""
