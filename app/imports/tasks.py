"""Tasks: frozen dataclasses that hold only IDs; `handlers.py` performs them."""

from app.jobs.tasks import BULK, Task


class CheckUserImport(Task, kind="check_user_import", title="Check user import", queue=BULK):
    """Read the file of an import, and say what each row would do."""

    import_id: int


class ApplyUserImport(Task, kind="apply_user_import", title="Run user import", queue=BULK):
    import_id: int
