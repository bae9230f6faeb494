"""Why a request was refused: the log line names a code, and `flask why` explains it."""

import json

import pytest

from tests.support.browser import Browser
from tests.support.program import Program

pytestmark = pytest.mark.databases("sqlite")

NEW = "a louder harbour today"


def code_of(log, answer):
    (line,) = [line for line in log.requests() if line["request_id"] == answer.headers["X-Request-ID"]]
    return line.get("code")


def test_log_line_of_a_request_names_the_refusal(app, client, ada, log, clock):
    def expired(browser):
        return browser.send("POST", "/auth/register", data={"email": "x"})

    browser = Browser(app)
    browser.sign_in(ada)
    clock.advance(minutes=11)
    answers = {
        "invalid_credentials": client.login(ada, "not that harbour"),
        "invalid": client.post("/auth/register", {"email": "nonsense", "name": "", "password": ""}),
        "weak_password": client.post("/auth/register", {"email": "new@example.com", "name": "", "password": "x" * 12}),
        "csrf": expired(client),
        "unauthenticated": client.get("/account"),
        "dead_link": client.get(f"/auth/reset-password/{'t' * 43}"),
        "not_found": client.get("/nowhere"),
        "method_not_allowed": client.send("PUT", "/auth/login"),
        "unknown_host": client.get("/", base_url="http://evil.test"),
        "forbidden": browser.get("/users"),
        "confirmation_required": browser.get("/account/email"),
        "unauthorized": Program(app).get("/users"),
    }
    codes = {expected: code_of(log, answer) for expected, answer in answers.items()}
    assert codes == {
        **{expected: expected for expected in answers},
        "unauthorized": "unauthenticated",
        "forbidden": codes["forbidden"],
    }
    assert codes["forbidden"] in {"forbidden", "not_allowed"}
    assert code_of(log, client.get("/auth/login")) is None
    assert code_of(log, Browser(app).login(ada)) is None


@pytest.mark.settings(limit_scale=1, limit_login="1 per hour")
def test_log_line_names_the_rate_limit(client, ada, log):
    client.login(ada)
    assert code_of(log, Browser(client.app).login(ada)) == "too_many_requests"


def test_request_command_combines_log_and_audit_log(app, client, ada, log, flask, tmp_path):
    answer = client.login(ada, "not that harbour")
    client.get("/nowhere")
    request_id = answer.headers["X-Request-ID"]
    file = tmp_path / "log.jsonl"
    file.write_text("no JSON here\n" + "".join(f"Nov 30 web[1]: {line}\n" for line in log.text.splitlines()))

    result = flask("why", request_id, "--log", str(file))
    assert result.exit_code == 0, result.output
    for part in ("code=invalid_credentials", "POST", "status=422", "session.refused", "invalid_credentials: "):
        assert part in result.output
    assert "/nowhere" not in result.output
    data = json.loads(flask("why", request_id, "--log", str(file), "--json").output)
    assert [event["kind"] for event in data["events"]] == ["session.refused"]
    assert [*data["codes"]] == ["invalid_credentials"]
    piped = flask("why", request_id, "--log", "-", typed=log.text)
    assert "code=invalid_credentials" in piped.output
    without = flask("why", request_id)
    assert "session.refused" in without.output
    nothing = flask("why", "forged-id", "--log", str(file))
    assert (nothing.exit_code, nothing.stderr) == (1, "Error: No log lines or audit events for request forged-id.\n")


def test_refusal_page_shows_the_reference(client):
    answer = client.get("/nowhere")
    assert answer.headers["X-Request-ID"] in answer.text
