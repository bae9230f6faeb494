"""Tasks: frozen dataclasses that hold only IDs; `handlers.py` performs them."""

from app.jobs.tasks import Task


class ResetFactors(Task, kind="reset_factors", title="Reset second factors"):
    reset_id: int
