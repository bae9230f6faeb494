"""Entry point: the front page, and the small files that browsers and robots ask for."""

from flask import Blueprint

bp = Blueprint("home", __name__)
