"""Entry point: administration pages other than those of the users."""

from flask import Blueprint

bp = Blueprint("admin", __name__, url_prefix="/admin")
