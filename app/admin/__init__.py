"""Administration pages, except those for users."""

from flask import Blueprint
from flask.sansio.blueprints import BlueprintSetupState

from app.services.permissions import AUDIT_READ, JOBS_READ, MAIL_READ, REPORTS_READ, ROLES_READ, SITE_EDIT

bp = Blueprint("admin", __name__, url_prefix="/admin")

# Permission, endpoint and title of each page in the side bar.
PAGES = (
    (REPORTS_READ, "admin.reports", "Reports"),
    (JOBS_READ, "admin.jobs", "Jobs"),
    (MAIL_READ, "admin.mail", "Emails"),
    (ROLES_READ, "admin.roles", "Roles"),
    (AUDIT_READ, "admin.audit", "Audit log"),
    (SITE_EDIT, "admin.site_settings", "Settings"),
)


@bp.record
def _offer(state: BlueprintSetupState) -> None:
    state.app.jinja_env.globals["admin_pages"] = PAGES
