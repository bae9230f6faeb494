"""Deletion of old imports."""

from datetime import timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from app.core.dialects import rowcount
from app.imports.models import UserImport, UserImportRow
from app.unit_of_work import Work
from app.users.models import User


def purge_import(work: Work, at_most: int) -> int:
    """Delete rows of the oldest due import, and then the import."""
    before = work.clock() - timedelta(days=work.lifetimes.finished_job_days)
    import_id = work.session.scalar(
        select(UserImport.id).where(UserImport.created_at < before).order_by(UserImport.created_at).limit(1)
    )
    if import_id is None:
        return 0
    of_import = UserImportRow.import_id == import_id
    last = select(UserImportRow.number).where(of_import).order_by(UserImportRow.number).limit(at_most).subquery()
    some = delete(UserImportRow).where(
        of_import, UserImportRow.number <= select(func.max(last.c.number)).scalar_subquery()
    )
    deleted = rowcount(work.session, some.execution_options(synchronize_session=False))
    if deleted < at_most:
        deleted += rowcount(work.session, delete(UserImport).where(UserImport.id == import_id))
    return deleted


def erase_rows_of(session: Session, user: User) -> None:
    """Remove a user's values from the rows of imports, which belong to who imported them."""
    nobody = update(UserImportRow).where(UserImportRow.email == user.email).values(email="", name="", reason=None)
    session.execute(nobody.execution_options(synchronize_session=False))
