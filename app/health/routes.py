from __future__ import annotations

from flask import jsonify
from flask.typing import ResponseReturnValue

from app.extensions import notifier
from app.health import bp
from app.schema import schema_state
from app.web.access import public


@bp.get("/healthz")
@public
def healthz() -> ResponseReturnValue:
    """200 while the process runs; checks nothing else."""
    return jsonify(status="ok")


@bp.get("/readyz")
@public
def readyz() -> ResponseReturnValue:
    """503 without a fully migrated database; 200 with `degraded` without a working queue."""
    database, migrations = schema_state()
    queue = notifier.state()
    can_serve = database == "ok" and migrations == "ok"
    status = "unavailable" if not can_serve else "ok" if queue == "ok" else "degraded"
    return jsonify(status=status, database=database, migrations=migrations, queue=queue), 200 if can_serve else 503
