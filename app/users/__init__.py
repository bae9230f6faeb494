"""Users, their roles and permissions: rules, pages, API and commands."""

from flask import Blueprint

bp = Blueprint("users", __name__, url_prefix="/users")
