"""The configuration of gunicorn for `wsgi:app`, from the application's settings."""

import gc
import json
import sys
import time
from pathlib import Path
from typing import Any

chdir = str(Path(__file__).resolve().parent)
sys.path.insert(0, chdir)  # gunicorn reads this file before it goes there.
# On HUP this file is read again: new workers, which inherit what is imported here, are to run the code as it is then.
for name in [name for name in sys.modules if name.split(".")[0] == "app"]:
    del sys.modules[name]

from app.core.metrics import metrics  # noqa: E402
from app.core.settings import SettingsError  # noqa: E402
from app.settings import load_settings  # noqa: E402

try:
    settings = load_settings()
except SettingsError as refused:
    sys.exit(str(refused))

bind = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in settings.listen_addresses]
workers = settings.web_processes
worker_class = "gthread"
threads = settings.web_threads
# Each worker loads the application, so that HUP rolls new code out (docs/operations.md, "Upgrades").
preload_app = False

# A worker without a heartbeat for `timeout` seconds is replaced; a stopping one has `graceful_timeout` seconds.
timeout = 60
graceful_timeout = 30
keepalive = 5
# The heartbeat is a file; on a busy disk its update can be delayed for too long.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - gunicorn makes a nameless file in it

limit_request_line = 4094
limit_request_fields = 60
limit_request_field_size = 8190

# gunicorn ignores forwarded headers: the application evaluates them itself (TRUSTED_PROXIES).
forwarded_allow_ips = ""
secure_scheme_headers: dict[str, str] = {}
forwarder_headers = ""

accesslog = None
errorlog = "-"
loglevel = "warning"
# Not used.
control_socket_disable = True


def on_starting(server: Any) -> None:
    """What earlier runs counted is forgotten. This process counts nothing: it would keep its files open on each HUP."""
    import prometheus_client  # noqa: F401, PLC0415 - the workers share it.

    metrics.sweep(settings.metrics_folder)


def when_ready(server: Any) -> None:
    freeze()
    tell("the web has started", addresses=[str(listener) for listener in server.LISTENERS], processes=workers)


def on_exit(server: Any) -> None:
    tell("the web has stopped")


def tell(message: str, **facts: Any) -> None:
    """A line like those of the application's log, which this process does not load."""
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    line = {"at": at, "level": "INFO", "logger": "gunicorn", "message": message, "release": settings.release, **facts}
    if settings.logs_json and settings.log_level in {"DEBUG", "INFO"}:
        sys.stderr.write(f"{json.dumps(line)}\n")


def on_reload(server: Any) -> None:
    """What was imported before is garbage now, and new workers would inherit it."""
    gc.unfreeze()
    freeze()


def freeze() -> None:
    """Leave these objects alone in the collections of workers, so that their memory stays shared."""
    gc.collect()
    gc.freeze()


def post_fork(server: Any, worker: Any) -> None:
    metrics.begin(settings.metrics_folder)
