"""What a WSGI server and the `flask` command load: `gunicorn wsgi:app`, `FLASK_APP=wsgi`."""

import sys

from app import create_app
from app.settings import SettingsError

try:
    app = create_app()
except SettingsError as refused:
    sys.exit(f"Error: {refused}")
