"""DISABLED_FEATURES turns features off, unless accounts need them."""

from __future__ import annotations

import subprocess
import sys

import pytest
from sqlalchemy import select, update

from app import _refuse_if_used
from app.core.settings import ROOT, SettingsError
from app.features import FEATURES, load_features
from app.jobs.models import Job, JobState
from app.jobs.worker import UNKNOWN
from app.unit_of_work import unit_of_work
from app.users.models import Role
from tests.support.authenticator import add_passkey, set_up
from tests.support.deleted import needs
from tests.support.mailbox import work_off


@pytest.mark.slow
def test_application_without_any_feature_has_nothing_of_them():
    """In a process of its own, because all applications of a process have the same features."""
    process = subprocess.run(
        [sys.executable, "-m", "tests.support.every_page", *FEATURES],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert process.returncode == 0, process.stdout + process.stderr


def test_unknown_features_are_refused():
    refusal = rf"DISABLED_FEATURES: auth, imprts can't be disabled\. Choose from {FEATURES[0]}"
    with pytest.raises(SettingsError, match=refusal):
        load_features({"imprts", "auth"})


def test_process_has_one_set_of_features():
    load_features()

    with pytest.raises(RuntimeError):
        load_features({FEATURES[0]})


def refusal(app, name):
    """Return why the application would not start without this feature."""
    try:
        _refuse_if_used(app, app.extensions["features"].active[name])
    except SettingsError as problem:
        return str(problem)
    return None


def test_factors_that_users_have_cannot_be_disabled(app, client, ada, clock):
    needs("totp", "passkeys")
    assert refusal(app, "totp") is refusal(app, "passkeys") is None

    client.sign_in(ada)
    client.confirm(ada.password)
    add_passkey(client)

    assert refusal(app, "passkeys") == "DISABLED_FEATURES: passkeys can't be disabled, because 1 user has set one up."
    assert refusal(app, "totp") is None
    set_up(client, clock)
    assert refusal(app, "totp") == "DISABLED_FEATURES: totp can't be disabled, because 1 user has set one up."


def test_factors_that_a_role_requires_cannot_be_disabled(app):
    needs("totp", "passkeys")
    with app.app_context(), unit_of_work() as work:
        work.session.execute(update(Role).where(Role.name == "member").values(requires_second_factor=True))

    for name in ("totp", "passkeys"):
        assert refusal(app, name).endswith("because the role member requires a second factor.")


def test_features_that_protect_nothing_can_be_disabled(app, ada):
    assert not [name for name in FEATURES if refusal(app, name)]


def test_job_of_a_deleted_feature_ends_dead_with_a_sentence(app, clock):
    with app.app_context(), unit_of_work() as work:
        values = {"arguments": {}, "queue": "default", "run_after": clock.now, "created_at": clock.now}
        work.session.add(Job(kind="count_sheep", max_attempts=1, **values))

    work_off(app)

    with app.app_context(), unit_of_work() as work:
        job = work.session.scalars(select(Job).where(Job.kind == "count_sheep")).one()
        assert (job.state, job.outcome) == (JobState.DEAD, UNKNOWN)
