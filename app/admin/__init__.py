"""Administration pages, except those for users."""

from flask import Blueprint

from app.users.permissions import AUDIT_READ, JOBS_READ, MAIL_READ, REPORTS_READ, ROLES_READ, SITE_EDIT
from app.web.admin_pages import AdminPage, add_admin_pages

PAGES = (
    AdminPage(None, "admin.overview", "Overview"),
    AdminPage(ROLES_READ, "admin.roles", "Roles"),
    AdminPage(AUDIT_READ, "admin.audit", "Audit log"),
    AdminPage(REPORTS_READ, "admin.reports", "Reports"),
    AdminPage(JOBS_READ, "admin.jobs", "Jobs"),
    AdminPage(MAIL_READ, "admin.mail", "Emails"),
    AdminPage(SITE_EDIT, "admin.site_settings", "Settings"),
)

bp = Blueprint("admin", __name__, url_prefix="/admin")
bp.record(add_admin_pages(*PAGES))
