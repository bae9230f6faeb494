"""Endpoints for user imports."""

from typing import Annotated, Any

from flask import request
from pydantic import Field
from werkzeug.exceptions import UnsupportedMediaType

from app.api import bp
from app.api.endpoint import endpoint
from app.api.listing import list_page
from app.api.responses import Answer
from app.api.schemas import In, PageQuery, Query
from app.core import errors
from app.core.resources import Flag, plain
from app.imports.display import as_dict
from app.imports.errors import ImportNotFound, ImportNotReady, TooManyRows, UnreadableFile
from app.imports.models import UserImport
from app.imports.permissions import USERS_IMPORT
from app.imports.schemas import OUTCOMES, ImportOut, RowOut, RowsOut
from app.imports.services.user_imports import MAX_FILE_BYTES, UserImports
from app.imports.uploads import store
from app.unit_of_work import reading, unit_of_work
from app.web import current_user
from app.web.access import by_oneself, requires
from app.web.limits import limited
from app.web.uploads import accepts_file

_CANNOT_START = (ImportNotFound, ImportNotReady, errors.ConfirmationRequired)


class UploadQuery(Query):
    # The pattern documents the rule; `store` checks the name for all entry points, in any case.
    name: Annotated[
        str,
        Field(
            max_length=255,
            description="The name of the file.",
            examples=["people.csv"],
            json_schema_extra={"pattern": r"^[A-Za-z0-9 _-]*\.(csv|tsv|txt)$"},
        ),
    ] = "people.csv"


class StartIn(In):
    invites: Flag = False


class RowsQuery(PageQuery):
    outcome: OUTCOMES | None = None


# Some client generators support only bytes.
UPLOADS = {"text/csv": {"type": "string"}, "application/octet-stream": {"type": "string", "format": "binary"}}


@bp.post("/v1/users/imports")
@limited("mail")
@endpoint(
    ImportOut,
    status=202,
    query=UploadQuery,
    refuses=(TooManyRows, UnreadableFile),
    tag="imports",
    upload=UPLOADS,
)
@requires(USERS_IMPORT)
@by_oneself
@accepts_file(MAX_FILE_BYTES)
def upload_import(query: UploadQuery) -> Answer:
    """Upload a CSV file. It is checked first. Nothing changes yet."""
    if request.mimetype not in UPLOADS:
        raise UnsupportedMediaType
    who = current_user.signed_in()
    file_id, lines = store(request.stream, name=query.name, owner_id=who.user_id)
    with unit_of_work() as work:
        user_import = work[UserImports].create_import(file_id, lines=lines, by=who)
    location = f"{request.script_root}/api/v1/users/imports/{user_import.id}"
    return Answer(_one(user_import.id), status=202, headers={"Location": location})


@bp.get("/v1/users/imports/<id:import_id>")
@endpoint(ImportOut, refuses=(ImportNotFound,), tag="imports")
@requires(USERS_IMPORT)
def show_import(import_id: int) -> dict[str, Any]:
    """Get one of your imports and its progress."""
    return _one(import_id)


@bp.get("/v1/users/imports/<id:import_id>/rows")
@endpoint(RowsOut, query=RowsQuery, refuses=(ImportNotFound,), tag="imports", lists=True)
@requires(USERS_IMPORT)
def list_import_rows(import_id: int, query: RowsQuery) -> dict[str, Any]:
    """List the rows of an import with their results."""
    services = reading()
    services[UserImports].get(import_id, by=current_user.signed_in())
    list_rows = services[UserImports].list_rows
    return list_page(
        query,
        lambda after, limit: list_rows(import_id, after=after or 0, outcome=query.outcome, limit=limit),
        lambda row: plain(RowOut, row, row=row.number),
        of={"list": "import-rows", "import": import_id, "outcome": query.outcome},
        position="number",
    )


@bp.post("/v1/users/imports/<id:import_id>/start")
@endpoint(ImportOut, status=202, body=StartIn, refuses=_CANNOT_START, tag="imports")
@requires(USERS_IMPORT)
@by_oneself
def start_import(import_id: int, body: StartIn) -> Answer:
    """Start a checked import."""
    with unit_of_work() as work:
        work[UserImports].start_import(import_id, invites=body.invites, by=current_user.signed_in())
    return Answer(_one(import_id), status=202)


@bp.post("/v1/users/imports/<id:import_id>/cancel")
@endpoint(ImportOut, refuses=(ImportNotFound, errors.JobNotCancellable), tag="imports")
@requires(USERS_IMPORT)
def cancel_import(import_id: int) -> dict[str, Any]:
    """Cancel an import. Rows already imported stay."""
    with unit_of_work() as work:
        work[UserImports].cancel(import_id, by=current_user.signed_in())
    return _one(import_id)


@bp.post("/v1/users/imports/<id:import_id>/resume")
@endpoint(ImportOut, status=202, refuses=(ImportNotFound, errors.JobNotRetryable), tag="imports")
@requires(USERS_IMPORT)
@by_oneself
def resume_import(import_id: int) -> Answer:
    """Resume a stopped import."""
    with unit_of_work() as work:
        work[UserImports].resume(import_id, by=current_user.signed_in())
    return Answer(_one(import_id), status=202)


def _one(import_id: int) -> dict[str, Any]:
    services = reading()
    user_import: UserImport = services[UserImports].get(import_id, by=current_user.signed_in())
    return as_dict(services, user_import)
