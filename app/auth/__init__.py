"""Pages for sign-up, sign-in, sign-out and password reset."""

from flask import Blueprint

bp = Blueprint("auth", __name__, url_prefix="/auth")
