"""Entry point: other people's accounts, for those who may see them."""

from flask import Blueprint

bp = Blueprint("users", __name__, url_prefix="/users")
