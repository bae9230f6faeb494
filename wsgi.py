"""What a WSGI server and the `flask` command load: `gunicorn wsgi:app`, `FLASK_APP=wsgi`."""

from app import create_app

app = create_app()
