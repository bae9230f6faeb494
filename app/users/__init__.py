"""User pages for administrators."""

from flask import Blueprint

from app.services.permissions import USERS_IMPORT, USERS_INVITE, USERS_READ
from app.web.admin_pages import AdminPage, add_admin_pages

PAGES = (
    AdminPage(USERS_READ, "users.index", "Users"),
    AdminPage(USERS_INVITE, "users.invitations", "Invitations"),
    AdminPage(USERS_IMPORT, "users.import", "Imports"),
)

bp = Blueprint("users", __name__, url_prefix="/users")
bp.record(add_admin_pages(*PAGES))
