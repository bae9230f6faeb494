"""The development mailbox; it does not exist in other environments."""

from flask import Blueprint

bp = Blueprint("dev", __name__, url_prefix="/dev")
