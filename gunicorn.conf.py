"""How gunicorn serves `wsgi:app`, from the application's own settings."""

import gc
import sys
from pathlib import Path
from typing import Any

chdir = str(Path(__file__).resolve().parent)
sys.path.insert(0, chdir)  # gunicorn reads this file before it goes there.

from app.extensions import db  # noqa: E402
from app.settings import SettingsError, load_settings  # noqa: E402

try:
    settings = load_settings()
except SettingsError as refused:
    sys.exit(str(refused))

bind = f"[{settings.host}]:{settings.port}" if ":" in settings.host else f"{settings.host}:{settings.port}"
workers = settings.web_processes
worker_class = "gthread"
threads = settings.web_threads
# Loaded once in the master: sooner there, and its memory is shared by the workers.
preload_app = True

# A worker that shows no sign of life for `timeout` is replaced; one that is told to stop gets `graceful_timeout`.
timeout = 60
graceful_timeout = 30
keepalive = 5
# The sign of life is a file; on a busy disk its update can wait long enough to look like death.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - gunicorn makes a nameless file in it

limit_request_line = 4094
limit_request_fields = 60
limit_request_field_size = 8190

# gunicorn looks at no forwarded header: the application counts the proxies it trusts (TRUSTED_PROXIES) by itself.
forwarded_allow_ips = ""
secure_scheme_headers: dict[str, str] = {}
forwarder_headers = ""

accesslog = None
errorlog = "-"
loglevel = "warning"
# One listener less: nobody here asks the master how it does.
control_socket_disable = True


def when_ready(server: Any) -> None:
    """Keep the collector off what is already loaded, or it would copy the shared memory into every worker."""
    gc.collect()
    gc.freeze()


def post_fork(server: Any, worker: Any) -> None:
    """A worker opens its own connections to the database; one that two processes use speaks nonsense."""
    with worker.app.wsgi().app_context():
        db.engine.dispose(close=False)
