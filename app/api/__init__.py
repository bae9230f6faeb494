"""The JSON API: what makes an endpoint, and its document."""

from flask import Blueprint

bp = Blueprint("api", __name__, url_prefix="/api")
