"""Entry point: is the process alive, and can it serve?"""

from flask import Blueprint

bp = Blueprint("health", __name__)
