"""The request pipeline: one tuple of steps before a view, and one after it."""

import pytest

from app.web import pipeline
from app.web.limits import limited
from tests.support.browser import Browser

pytestmark = pytest.mark.databases("sqlite")


@pytest.mark.settings(cors_origins=["https://app.example.com"])
def test_pipeline_replaces_extension_hooks(app):
    assert app.before_request_funcs == {None: [pipeline.run_before_view]}
    assert app.after_request_funcs == {None: [pipeline.run_after_view]}


@pytest.mark.parametrize("path", ["/auth/login", "/nowhere", "/api/v1/users/me"])
def test_failing_step_after_the_view_is_logged_and_the_response_sent(client, monkeypatch, caplog, path):
    answers_before = client.get(path)

    def broken_step(response):
        raise OSError("no space left on device")

    steps = list(pipeline.AFTER_VIEW)
    monkeypatch.setattr(pipeline, "AFTER_VIEW", (broken_step, *steps))
    answer = client.get(path)

    assert answer.status_code == answers_before.status_code
    assert answer.headers["Content-Security-Policy"] == answers_before.headers["Content-Security-Policy"]
    logged = next(record for record in caplog.records if record.message == "a step after the view failed")
    assert logged.step == "broken_step"
    assert logged.exc_info


@pytest.mark.own_app
@pytest.mark.settings(limit_scale=1)
def test_head_request_counts_against_the_limit_of_get(app):
    app.config["PROPAGATE_EXCEPTIONS"] = False
    limit = int(app.extensions["settings"].limit("login").split()[0])
    view = limited("login", method="GET")(lambda: "ok")
    view.is_public = True
    app.view_functions["home.index"] = view
    browser = Browser(app)

    statuses = [browser.send("HEAD", "/").status_code for _ in range(limit)] + [browser.get("/").status_code]

    assert statuses == [200] * limit + [429]
