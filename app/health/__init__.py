"""Health checks and metrics."""

from flask import Blueprint

bp = Blueprint("health", __name__)
