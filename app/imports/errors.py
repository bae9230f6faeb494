"""Refusals of user imports."""

from http import HTTPStatus

from app.core.errors import AccountError, CommittedRefusal, Conflict, NotFound, TryLater


class ImportNotFound(NotFound):
    message = "Import not found."


class ImportNotReady(Conflict):
    code = "import_not_ready"
    message = "Only an import that was checked and hasn't started can be started."


class TooManyRows(CommittedRefusal, TryLater):
    code = "too_many_rows"
    status = HTTPStatus.TOO_MANY_REQUESTS
    retry_after = 3600

    def __init__(self, at_most: int) -> None:
        super().__init__(f"You can import {at_most:,} rows a day. Split the file, or wait.")


class UnreadableFile(AccountError):
    """The message says why, and what to do."""

    code = "unreadable_file"
    message = "The file can't be read."
