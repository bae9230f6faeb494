"""The WSGI application: `gunicorn wsgi:app`, `FLASK_APP=wsgi`."""

import gc
import sys

gc.disable()  # There is no garbage yet; looking for it takes a quarter of the start-up.

from app import create_app  # noqa: E402
from app.core.settings import SettingsError  # noqa: E402

try:
    app = create_app()
except SettingsError as refused:
    sys.exit(f"Error: {refused}")
finally:
    gc.freeze()  # Loaded objects stay; later collections can skip them.
    gc.enable()
