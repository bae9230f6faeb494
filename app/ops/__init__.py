"""Operation: health, metrics, backup, doctor, maintenance and automatic deletion."""

from flask import Blueprint

bp = Blueprint("health", __name__)
