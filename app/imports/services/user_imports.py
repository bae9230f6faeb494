"""User imports: upload, start, cancel and resume."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import func, select, update

from app.audit.services.log import AuditLog
from app.core.dialects import advisory_lock, rowcount
from app.core.principal import Actor, Operator, Principal
from app.core.service import Service
from app.files.service import Files
from app.imports.errors import ImportNotFound, ImportNotReady, TooManyRows
from app.imports.models import Phase, UserImport, UserImportRow
from app.imports.permissions import USERS_IMPORT
from app.imports.settings import ImportSettings
from app.imports.tasks import ApplyUserImport, CheckUserImport
from app.jobs.services.board import JobBoard
from app.jobs.services.queue import JobQueue
from app.users.services.policy import Policy

MAX_FILE_BYTES = 100 * 1024 * 1024


class UserImports(Service):
    audit: AuditLog
    files: Files
    invitations_open: bool
    job_board: JobBoard
    job_queue: JobQueue
    settings: ImportSettings
    policy: Policy

    def create_import(self, file_id: int, *, lines: int, by: Actor) -> UserImport:
        """Enqueue the check of a stored file; `lines` is about how many rows it has.

        Raises FileNotThere; TooManyRows, and then the file is deleted.
        """
        self.policy.check(by, USERS_IMPORT)
        file = self.files.get(file_id)
        if not self._has_room(lines, by=by):
            self.files.delete(file_id)
            raise TooManyRows(self.settings.import_rows_per_day)
        user_import = UserImport(
            owner_id=by.user_id,
            by_operator=isinstance(by, Operator),
            by_key=isinstance(by, Principal) and by.is_key,
            permissions=[] if isinstance(by, Operator) else sorted(by.permissions),
            file_id=file.id,
            file_name=file.name,
            invites=False,
            phase=Phase.CHECKING,
            rows=lines,
            checked={},
            applied={},
            examples=[],
            ignored=[],
            created_at=self.clock(),
        )
        self.session.add(user_import)
        self.session.flush()
        user_import.job_id = self.job_queue.enqueue(CheckUserImport(import_id=user_import.id))
        self.audit.record("import.uploaded", subject_id=None, import_id=user_import.id, file=file.name, size=file.size)
        return user_import

    def _has_room(self, lines: int, *, by: Actor) -> bool:
        """Return whether the user can import this many more rows within a day. Commands are not limited."""
        if isinstance(by, Operator):
            return True
        advisory_lock(self.session, f"user_imports:{by.user_id}")
        condition = (UserImport.owner_id == by.user_id, UserImport.created_at > self.clock() - timedelta(days=1))
        rows = self.session.scalar(select(func.sum(UserImport.rows)).where(*condition)) or 0
        return rows + lines <= self.settings.import_rows_per_day

    def get(self, import_id: int, *, by: Actor) -> UserImport:
        """Return an import of `by`, or of the command line for the operator. Raises ImportNotFound."""
        user_import = self.session.get(UserImport, import_id)
        if (
            user_import is None
            or user_import.owner_id != by.user_id
            or user_import.by_operator != isinstance(by, Operator)
        ):
            raise ImportNotFound
        return user_import

    def list_own(self, *, by: Principal, limit: int = 20) -> Sequence[UserImport]:
        """Return the user's imports, newest first."""
        own = select(UserImport).where(UserImport.owner_id == by.user_id)
        return self.session.scalars(own.order_by(UserImport.id.desc()).limit(limit)).all()

    def start_import(self, import_id: int, *, invites: bool, by: Actor) -> UserImport:
        """Apply a checked import; with `invites`, new users get an invitation.

        It is applied with the permissions of both this credential and the one of the upload. An import that assigns
        roles requires a confirmed session; with an API key those rows are refused. Raises ImportNotReady,
        ConfirmationRequired.
        """
        self.policy.check(by, USERS_IMPORT)
        user_import = self.get(import_id, by=by)
        if isinstance(by, Principal):
            user_import.permissions = sorted(by.permissions.intersection(user_import.permissions))
            user_import.by_key |= by.is_key
            user_import.is_confirmed = self.policy.is_confirmed(by)
        if user_import.gives_roles and not user_import.by_key:
            self.policy.check_confirmed(by)
        if invites and not self.invitations_open:
            raise ImportNotReady("Invitations are closed. Import without invitations.")
        started = rowcount(
            self.session,
            update(UserImport)
            .where(UserImport.id == import_id, UserImport.phase == Phase.CHECKED)
            .values(phase=Phase.APPLYING, invites=invites)
            .execution_options(synchronize_session=False),
        )
        if started != 1:
            raise ImportNotReady
        self.session.refresh(user_import)
        user_import.job_id = self.job_queue.enqueue(ApplyUserImport(import_id=user_import.id))
        self.audit.record("import.started", subject_id=None, import_id=user_import.id, rows=user_import.rows)
        return user_import

    def cancel(self, import_id: int, *, by: Actor) -> None:
        """Cancel an import; applied rows stay. Raises JobNotCancellable."""
        user_import = self.get(import_id, by=by)
        self.job_board.cancel(user_import.job_id or 0)

    def resume(self, import_id: int, *, by: Actor) -> None:
        """Resume after a cancellation or failure. Raises JobNotRetryable."""
        self.policy.check(by, USERS_IMPORT)
        self.job_board.retry(self.get(import_id, by=by).job_id or 0)

    def list_examples(self, user_import: UserImport) -> Sequence[UserImportRow]:
        numbers = [number for number, _ in user_import.examples]
        rows = select(UserImportRow).where(UserImportRow.import_id == user_import.id, UserImportRow.number.in_(numbers))
        return self.session.scalars(rows.order_by(UserImportRow.number)).all()

    def list_rows(
        self, import_id: int, *, after: int = 0, outcome: str | None = None, limit: int = 1000
    ) -> Sequence[UserImportRow]:
        """Return rows with a number above `after`, in order."""
        rows = select(UserImportRow).where(UserImportRow.import_id == import_id, UserImportRow.number > after)
        if outcome is not None:
            rows = rows.where(UserImportRow.outcome == outcome)
        return self.session.scalars(rows.order_by(UserImportRow.number).limit(limit)).all()
