"""A user's own data, for download."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import Executable, delete, select
from sqlalchemy.orm import selectinload

from app.audit.models import AuditDetail, AuditEvent
from app.audit.services.log import AuditLog
from app.core import errors
from app.core.dialects import advisory_lock
from app.core.models import OWN_DATA, Base
from app.core.service import Service
from app.files.models import StoredFile
from app.files.service import Files
from app.jobs.services.queue import JobQueue
from app.own_data.tasks import ExportOwnData
from app.users.models import User

PURPOSE = "own-data"
LIVES = timedelta(days=7)
ROWS_AT_ONCE = 500
# Credentials and hashes are left out: nobody must be able to sign in with the copy.
SECRET = {"hashed_password", "salt", "digest", "once_key", "secret"}
HIDDEN_FIELDS: dict[str, Any] = {"address": None, "user_agent": None, "session_id": None, "request_id": None}


class OwnData(Service):
    audit: AuditLog
    files: Files
    job_queue: JobQueue

    def request(self, user_id: int) -> None:
        """Enqueue a copy, in place of an earlier one: there is one at a time."""
        advisory_lock(self.session, f"own_data:{user_id}")
        self.session.execute(delete(StoredFile).where(*self._of(user_id)))
        file = self.files.create_file(name="my-data.zip", owner_id=user_id, lives=LIVES, purpose=PURPOSE)
        self.audit.record("user.data_requested", subject_id=user_id)
        self.job_queue.enqueue(ExportOwnData(user_id=user_id, file_id=file.id))

    def find(self, user_id: int) -> StoredFile | None:
        """Return the newest copy, ready or not, until it expires."""
        query = select(StoredFile).where(*self._of(user_id), StoredFile.expires_at > self.clock())
        return self.session.scalar(query.order_by(StoredFile.id.desc()).limit(1))

    def get_ready(self, user_id: int) -> StoredFile:
        """Raises FileNotThere."""
        file = self.find(user_id)
        if file is None:
            raise errors.FileNotThere
        return self.files.get(file.id)

    def sections(self, user_id: int) -> Iterator[tuple[str, Iterator[dict[str, Any]]]]:
        """Yield all data of the user, table by table and row by row; no secrets, and no data of other users."""
        user = self.session.get_one(User, user_id, options=[selectinload(User.roles)])
        yield "account", iter([_row(user) | {"roles": [role.name for role in user.roles]}])
        for table in Base.metadata.sorted_tables:
            owner = table.c.get("user_id", table.c.get("owner_id"))
            name = table.info.get(OWN_DATA, table.name)
            if owner is not None and owner.foreign_keys and name is not None:
                rows = select(table).where(owner == user_id).order_by(table.c.id)
                yield name, (_shown(row._mapping) for row in self._walk(rows))
        yield "events", self._events(user_id)

    def _events(self, user_id: int) -> Iterator[dict[str, Any]]:
        events = (
            select(AuditEvent, AuditDetail)
            .outerjoin(AuditDetail, AuditDetail.event_id == AuditEvent.id)
            .where(AuditEvent.subject_id == user_id)
            .order_by(AuditEvent.id)
        )
        for event in self._walk(events):
            row = _row(*event)
            # From where an administrator acted is the administrator's.
            yield row if row["actor_id"] in {None, user_id} else row | HIDDEN_FIELDS

    def _walk(self, rows: Executable) -> Iterator[Any]:
        """Yield rows, a few in memory at a time."""
        yield from self.session.execute(rows.execution_options(yield_per=ROWS_AT_ONCE))

    @staticmethod
    def _of(user_id: int) -> Iterable[Any]:
        return StoredFile.owner_id == user_id, StoredFile.purpose == PURPOSE


def _row(*parts: Base | None) -> dict[str, Any]:
    """Return the columns of a row and of its side row."""
    there = [part for part in parts if part is not None]
    return _shown({column.name: getattr(part, column.key) for part in there for column in part.__table__.c})


def _shown(values: Mapping[Any, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in SECRET and not name.endswith("_hash")}
