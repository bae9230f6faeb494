"""Pages to import and export users."""

from collections.abc import Callable
from pathlib import PurePath
from types import SimpleNamespace

from flask import Response, redirect, request, url_for
from flask.typing import ResponseReturnValue

from app.core import errors
from app.imports.display import COLUMNS, as_dict, exported, report_lines
from app.imports.errors import UnreadableFile
from app.imports.models import Phase, UserImport
from app.imports.permissions import USERS_EXPORT, USERS_IMPORT
from app.imports.services.user_imports import MAX_FILE_BYTES, UserImports
from app.imports.services.worker import NARROWED
from app.imports.uploads import store
from app.jobs.display import progress_text
from app.jobs.models import Job, JobState
from app.unit_of_work import Work, reading, unit_of_work
from app.users import bp
from app.users.forms import ImportForm
from app.users.views import read_filters
from app.web import current_user
from app.web.access import by_oneself, requires
from app.web.actions import attempt
from app.web.exports import attachment, csv_lines
from app.web.limits import limited
from app.web.pages import page
from app.web.uploads import accepts_file
from app.web.viewer import viewer_zone


@bp.route("/import", methods=["GET", "POST"], endpoint="import")
@requires(USERS_IMPORT)
@by_oneself
@accepts_file(MAX_FILE_BYTES)
@limited("mail")
def import_users() -> ResponseReturnValue:
    who, form = current_user.signed_in(), ImportForm()
    if form.is_submitted():
        file = request.files.get("file")
        if file is None or not file.filename:
            form.refuse(errors.AccountError("Choose a file."))
        else:
            name = PurePath(file.filename.replace("\\", "/")).name
            with form.refusals(UnreadableFile):
                file_id, lines = store(file.stream, name=name, owner_id=who.user_id)
                with unit_of_work() as work:
                    created = work[UserImports].create_import(file_id, lines=lines, by=who)
                return redirect(url_for("users.show_import", import_id=created.id))
    services = reading()
    return page(
        "users/import.html",
        form,
        imports=[_shown(services, user_import) for user_import in services[UserImports].list_own(by=who)],
    )


@bp.get("/import/<id:import_id>")
@requires(USERS_IMPORT)
@current_user.refreshes_itself
def show_import(import_id: int) -> ResponseReturnValue:
    services = reading()
    user_import = services[UserImports].get(import_id, by=current_user.signed_in())
    return page(
        "users/show_import.html",
        user_import=_shown(services, user_import),
        invites_open=services.invitations_open,
        is_sign_up_closed=services.registration_mode == "closed",
    )


@bp.post("/import/<id:import_id>/start")
@requires(USERS_IMPORT)
@by_oneself
def start_import(import_id: int) -> ResponseReturnValue:
    message = "Import started. You can close this page. The import continues."
    return _attempt(
        import_id, lambda work: work[UserImports].start_import, message, invites=request.form.get("invites") == "y"
    )


@bp.post("/import/<id:import_id>/cancel")
@requires(USERS_IMPORT)
def cancel_import(import_id: int) -> ResponseReturnValue:
    message = "Stopping the import. Rows already imported stay."
    return _attempt(import_id, lambda work: work[UserImports].cancel, message)


@bp.post("/import/<id:import_id>/resume")
@requires(USERS_IMPORT)
@by_oneself
def resume_import(import_id: int) -> ResponseReturnValue:
    return _attempt(import_id, lambda work: work[UserImports].resume, "Import resumed.")


def _attempt(
    import_id: int, pick: Callable[[Work], Callable[..., object]], message: str, **how: bool
) -> ResponseReturnValue:
    who = current_user.signed_in()
    return attempt(
        lambda work: pick(work)(import_id, by=who, **how), message=message, to="users.show_import", import_id=import_id
    )


@bp.get("/import/<id:import_id>/report.csv")
@requires(USERS_IMPORT)
def import_report(import_id: int) -> Response:
    """Download the result of each row; before the import, the expected result."""
    services = reading()
    services[UserImports].get(import_id, by=current_user.signed_in())
    return attachment(report_lines(services, import_id), f"import-{import_id}.csv")


@bp.get("/export.csv")
@requires(USERS_EXPORT)
def export() -> Response:
    """Export the filtered users in the format of an import."""
    filters = read_filters()
    with unit_of_work() as work:
        work.audit.record("user.list_exported", subject_id=None)
    zone = viewer_zone()
    rows = (exported(user, zone) for user in reading().user_search.walk(filters))
    return attachment(csv_lines(COLUMNS, rows), "users.csv")


def _shown(services: Work, user_import: UserImport) -> SimpleNamespace:
    job = services.session.get(Job, user_import.job_id) if user_import.job_id else None
    values = SimpleNamespace(**as_dict(services, user_import))
    values.examples = [SimpleNamespace(**example) for example in values.examples]
    values.is_open = values.state in {Phase.CHECKING, Phase.APPLYING}
    values.is_waiting = job is not None and job.state == JobState.WAITING
    values.is_stopping = values.is_open and job is not None and job.cancel_requested_at is not None
    values.reason = job.outcome if job else None
    values.is_narrowing = any(kind == NARROWED for _, kind in user_import.examples)
    values.progress_text = progress_text(job, services.job_board.pace(job)) if job else ""
    return values
