"""The home page, and small files for browsers and crawlers."""

from flask import Blueprint

bp = Blueprint("home", __name__)
