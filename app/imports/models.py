from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, false
from sqlalchemy.orm import Mapped, mapped_column

from app.core.lengths import MAX_NAME_LENGTH, MAX_OUTCOME_LENGTH, MAX_REASON_LENGTH, STORED_ADDRESS_LENGTH
from app.core.models import OWN_DATA, Base


class Phase(StrEnum):
    CHECKING = "checking"
    CHECKED = "checked"
    APPLYING = "applying"
    DONE = "done"
    REFUSED = "refused"


class RowOutcome(StrEnum):
    """The result of a row: expected after the check, actual after the import."""

    NEW = "new"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    REFUSED = "refused"
    ADDED = "added"
    UPDATED = "updated"


class UserImport(Base):
    """An import of users from a file. Its job (`job_id`) has the progress.

    `permissions` are those of the importer and their credential; `by_operator` is the command line, `by_key` an API
    key. It `gives_roles` if a row assigns a role besides the default; the importer `is_confirmed` if they had just
    confirmed their identity. `checked` and `applied` are numbers of rows by outcome, `examples` the first refused or
    changed rows, by number and outcome.
    """

    __tablename__ = "user_imports"
    __table_args__ = ({"sqlite_autoincrement": True, "info": {OWN_DATA: "imports"}},)

    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"), index=True)
    by_operator: Mapped[bool]
    by_key: Mapped[bool] = mapped_column(default=False, server_default=false(), deferred=True)
    gives_roles: Mapped[bool] = mapped_column(default=False, server_default=false(), deferred=True)
    is_confirmed: Mapped[bool] = mapped_column(default=False, server_default=false(), deferred=True)
    permissions: Mapped[list[str]]
    file_id: Mapped[int | None] = mapped_column(ForeignKey("stored_files.id", ondelete="SET NULL"), index=True)
    file_name: Mapped[str] = mapped_column(String(255))
    invites: Mapped[bool]
    phase: Mapped[str] = mapped_column(String(16))
    problem: Mapped[str | None] = mapped_column(String(MAX_OUTCOME_LENGTH))
    job_id: Mapped[int | None]
    rows: Mapped[int] = mapped_column(default=0)
    checked: Mapped[dict[str, Any]]
    applied: Mapped[dict[str, Any]]
    examples: Mapped[list[Any]] = mapped_column(JSON)
    ignored: Mapped[list[str]]
    created_at: Mapped[datetime] = mapped_column(index=True)
    ended_at: Mapped[datetime | None]


class UserImportRow(Base):
    """A row of the file, as it was understood; `number` counts from 1, the header."""

    __tablename__ = "user_import_rows"
    __table_args__ = (Index("ix_user_import_rows_email", "email", "import_id"),)

    import_id: Mapped[int] = mapped_column(ForeignKey("user_imports.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(STORED_ADDRESS_LENGTH))
    name: Mapped[str] = mapped_column(String(MAX_NAME_LENGTH))
    roles: Mapped[list[str]]
    outcome: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str | None] = mapped_column(String(MAX_REASON_LENGTH))
