"""Each refusal leaves one warning in the log, without a secret."""

import pytest

from app.oauth.providers import Provider
from tests.support.browser import Browser
from tests.support.deleted import needs
from tests.support.program import Program

pytestmark = pytest.mark.databases("sqlite")


def warnings(log):
    usual = {"at", "level", "logger", "message", "request_id"}
    return [
        (line["message"], {name: value for name, value in line.items() if name not in usual})
        for line in log.lines
        if line["level"] == "WARNING"
    ]


def test_refused_api_key_is_logged_by_its_prefix(app, ada, log):
    program = Program(app).login(ada)
    answer = program.post("/auth/confirm", {"password": ada.password})
    assert answer.status_code == 200, answer.text
    key = program.post("/api-keys", {"name": "Reporter", "scopes": ["account:read"]}).json["data"]
    key_id, secret = key["id"], key["key"]
    program.delete(f"/api-keys/{key_id}")
    assert warnings(log) == []

    assert Program(app, token=secret).get("/users/me").status_code == 401

    assert warnings(log) == [("a credential was refused", {"kind": "api_key", "key_prefix": secret[:10]})]
    assert secret not in log.text


@pytest.mark.parametrize("token", ["x.y.z", "ghk_short", ""])
def test_refused_access_token_is_logged_without_its_value(app, token, log):
    assert Program(app, token=token).get("/users/me").status_code == 401
    assert warnings(log) == [("a credential was refused", {"kind": "access_token"})]


def test_missing_credential_is_not_logged_as_refused(app, client, log):
    assert Program(app).get("/users/me").status_code == 401
    assert client.get("/account").status_code == 302
    assert warnings(log) == []


def test_refused_refresh_token_is_logged(app, log):
    assert Program(app).post("/auth/refresh", {"refresh_token": "r" * 43}).status_code == 401
    assert warnings(log) == [("a credential was refused", {"kind": "refresh_token"})]


@pytest.mark.settings(metrics_token="m" * 40)
def test_refused_metrics_token_is_logged(client, log):
    assert client.get("/metrics").status_code == 401
    assert warnings(log) == []
    assert client.get("/metrics", headers={"Authorization": "Bearer guessed"}).status_code == 401
    assert warnings(log) == [("a credential was refused", {"kind": "metrics_token"})]


@pytest.mark.parametrize(
    ("path", "endpoint"),
    [
        ("/auth/reset-password", "auth.open_reset"),
        ("/auth/verify-email", "auth.open_verification"),
        ("/auth/undo-addition", "auth.open_undo_addition"),
    ],
)
def test_invalid_link_is_logged_once(client, path, endpoint, log):
    assert client.get(f"{path}/{'t' * 43}").status_code == 410
    ((message, fields),) = warnings(log)
    assert (message, [*fields]) == ("a dead link was opened", ["endpoint"])
    assert "t" * 43 not in log.text


def test_invalid_link_through_the_api_is_logged_once(app, log):
    answer = Program(app).post("/auth/verify-email", {"token": "t" * 43, "password": "a quieter harbour"})
    assert answer.status_code == 410, answer.text
    assert [message for message, _ in warnings(log)] == ["a dead link was opened"]


def test_unknown_host_is_logged_once(client, log):
    assert client.get("/", base_url="http://evil.test").status_code == 400
    assert warnings(log) == [("a request for an unknown host was refused", {"host": "evil.test"})]


@pytest.mark.own_app
def test_wrong_oauth_state_is_logged_once(app, provider, log):
    needs("oauth")
    app.extensions["settings"].oauth_providers.append(Provider(**provider.settings()))
    assert Browser(app).get("/auth/oauth/acme/callback?state=forged&code=x").status_code == 400
    ((message, fields),) = warnings(log)
    assert (message, fields["provider"]) == ("a sign-in with a provider failed", "acme")
    assert "state" in fields["reason"]
    assert "forged" not in log.text
