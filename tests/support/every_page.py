"""Every page of an application on an empty database, as an administrator; also run as a process of its own, because all
applications of a process have the same features: `python -m tests.support.every_page [disabled feature ...]`.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import walk_packages

from flask import Flask

import app as package
from app import create_app
from app.core.extensions import now
from app.jobs.models import Job, JobState
from app.jobs.tasks import Task
from app.jobs.worker import UNKNOWN, perform
from app.settings import Settings
from app.unit_of_work import reading, unit_of_work
from app.users.permissions import PERMISSIONS
from tests.support.browser import Browser
from tests.support.commands import flask_command
from tests.support.databases import SIGNING_KEY
from tests.support.people import People

ADA = "ada@example.com"


def import_everything() -> None:
    for module in walk_packages(package.__path__, "app."):
        import_module(module.name)


def build(folder: Path, *, disabled: tuple[str, ...] = ()) -> Flask:
    """Return an application whose database has the tables and nothing else."""
    app = create_app(
        Settings(
            environment="testing",
            secret_key=SIGNING_KEY,
            instance_path=folder,
            argon2_memory_kib=8,
            argon2_time_cost=1,
            breach_check="off",
            disabled_features=disabled,
        )
    )
    upgraded = flask_command(app, "db", "upgrade")
    assert upgraded.exit_code == 0, upgraded.output
    return app


def administrator(app: Flask) -> Browser:
    """Return the browser of an administrator, who is the second user."""
    people = People(app)
    people.add(ADA)
    admin = people.add("admin@example.com", name="Admin", roles=("administrator",))
    browser = Browser(app)
    browser.sign_in(admin)
    browser.confirm(admin.password)
    return browser


def paths(app: Flask) -> Iterator[str]:
    """Return the path of each page; IDs in paths are 1, Ada's."""
    with app.test_request_context():
        for rule in app.url_map.iter_rules():
            if "GET" in (rule.methods or ()) and rule.endpoint != "static":
                values = {name: 1 if "id" in name else "none" for name in rule.arguments}
                yield app.url_map.bind("localhost").build(rule.endpoint, values)


def render_all(app: Flask, browser: Browser) -> None:
    """Open every page. Raises AssertionError for a server error, or HTML that is not as it should be."""
    for path in paths(app):
        response = browser.get(path)
        assert response.status_code < 500 or path == "/readyz", f"{path}: {response.status_code}\n{response.text}"


def assert_nothing_of(app: Flask, disabled: tuple[str, ...]) -> None:
    """Check that disabled features have no route, command, navigation, permission, scheduled job and credential."""
    features = app.extensions["features"]
    folders = {view.__module__.split(".")[1] for view in app.view_functions.values() if view.__module__[:4] == "app."}
    assert not folders & {*disabled}
    assert not features.active.keys() & {*disabled}
    assert not {place.split(".")[1] for place in features.commands.values()} & {*disabled}
    assert not {type(entry.task).__module__.split(".")[1] for entry in features.schedule} & {*disabled}
    pages = [page.endpoint for page in (*features.site_pages, *features.account_pages, *features.admin_pages)]
    assert not set(pages) - app.view_functions.keys()
    for name in disabled:
        if find_spec(f"app.{name}.permissions"):
            declared = vars(import_module(f"app.{name}.permissions"))
            assert not PERMISSIONS.keys() & {value for value in declared.values() if isinstance(value, str)}
        if any(task.__module__ == f"app.{name}.tasks" for task in Task.kinds.values()):
            assert_jobs_end(app, f"app.{name}.tasks")


def assert_jobs_end(app: Flask, module: str) -> None:
    """Check that the waiting jobs of a module end dead, with a sentence."""
    kinds = [kind for kind, task in Task.kinds.items() if task.__module__ == module]
    with app.app_context():
        for kind in kinds:
            with unit_of_work() as work:
                values = {"kind": kind, "arguments": {}, "queue": "default", "run_after": now(), "created_at": now()}
                job = Job(**values, max_attempts=1)
                work.session.add(job)
                work.session.flush()
                job_id = job.id
            perform(job_id)
            stored = reading().session.get_one(Job, job_id)
            assert (stored.state, stored.outcome) == (JobState.DEAD, UNKNOWN)


def main(disabled: tuple[str, ...]) -> None:
    if not disabled:
        import_everything()
    with tempfile.TemporaryDirectory() as folder:
        app = build(Path(folder), disabled=disabled)
        logging.disable()
        assert_nothing_of(app, disabled)
        render_all(app, administrator(app))


if __name__ == "__main__":
    main(tuple(sys.argv[1:]))
