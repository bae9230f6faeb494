"""What a WSGI server and the `flask` command load: `gunicorn wsgi:app`, `FLASK_APP=wsgi`."""

import gc
import sys

gc.disable()  # Nothing is garbage yet: looking for it again and again takes a quarter of the start.

from app import create_app  # noqa: E402
from app.settings import SettingsError  # noqa: E402

try:
    app = create_app()
except SettingsError as refused:
    sys.exit(f"Error: {refused}")
finally:
    gc.freeze()  # What was loaded stays: no later search needs to walk through it.
    gc.enable()
