from app.jobs.tasks import BULK, Task


class CountStatistics(Task, kind="count_statistics", title="Update reports", queue=BULK):
    """Count what reports show."""
