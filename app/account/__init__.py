"""The user's own account: its pages, and the profile."""

from flask import Blueprint

bp = Blueprint("account", __name__, url_prefix="/account")
