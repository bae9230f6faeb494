"""Entry point: register, confirm, sign in and out, reset a password."""

from flask import Blueprint

bp = Blueprint("auth", __name__, url_prefix="/auth")
