"""Entry point: the mailbox of a development machine; elsewhere it does not exist."""

from flask import Blueprint

bp = Blueprint("dev", __name__, url_prefix="/dev")
