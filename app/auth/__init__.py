"""Sign-up, sign-in, sessions, passwords, second factors and links in emails."""

from flask import Blueprint

bp = Blueprint("auth", __name__, url_prefix="/auth")
