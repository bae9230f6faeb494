"""The start page of administration, and the blueprint of all its pages."""

from flask import Blueprint

bp = Blueprint("admin", __name__, url_prefix="/admin")
