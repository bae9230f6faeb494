"""Entry point: health checks."""

from flask import Blueprint

bp = Blueprint("health", __name__)
