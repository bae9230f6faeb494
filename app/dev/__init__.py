"""Entry point: the mailbox for development; elsewhere it does not exist."""

from flask import Blueprint

bp = Blueprint("dev", __name__, url_prefix="/dev")
