"""A database of November 2026, upgraded: existing credentials and links still work."""

import json
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from flask.sessions import SecureCookieSessionInterface

from app.core.extensions import db
from app.core.migration_state import current_revision, newest_revision
from app.imports.models import UserImport
from app.jobs.models import Job, JobState
from app.users.models import User
from app.web.session_cookie import TOKEN
from tests.support.authenticator import App, Passkey, passkey_options
from tests.support.browser import Browser
from tests.support.clock import Clock
from tests.support.commands import flask_command
from tests.support.databases import old_database
from tests.support.deleted import needs
from tests.support.mailbox import Mailbox, work_off
from tests.support.people import Person
from tests.support.program import Program

pytestmark = pytest.mark.databases("sqlite", "postgresql")

NEW_PASSWORD = "seven lamps at dusk"


class Upgraded:
    """The application on that database and the values known then; it is still the same minute."""

    def __init__(self, app, known, clock):
        self.app, self.known, self.clock = app, known, clock

    def flask(self, *arguments):
        answer = flask_command(self.app, *arguments)
        assert answer.exit_code == 0, answer.output
        return answer.output

    def person(self, name):
        return Person(self.known["ids"][name], f"{name}@example.com", "", self.known["password"])

    def user(self, email):
        with self.app.app_context():
            return db.session.query(User).filter_by(email=email).one()

    def roles(self, email):
        return json.loads(self.flask("users", "show", email, "--json"))["roles"]

    def browser_with_the_old_cookie(self):
        """Grace's browser with her old cookie."""
        signer = SecureCookieSessionInterface().get_signing_serializer(self.app)
        browser = Browser(self.app)
        # The age of the signature, in real time, is ignored.
        with browser.http.session_transaction(base_url="http://gatehouse.test") as session:
            session.update(signer.loads(self.known["session_cookie"]))
            assert session[TOKEN]
        return browser


@pytest.fixture
def old(make_app, database_url, tmp_path):
    url, known = old_database(database_url, tmp_path)
    app = make_app(database_url=url, secret_key=known["secret_key"])
    app.extensions["clock"] = clock = Clock(datetime.fromisoformat(known["at"]))
    old = Upgraded(app, known, clock)
    old.flask("db", "upgrade")
    return old


def test_schema_reaches_the_newest_revision_and_the_audit_log_verifies(old):
    with old.app.app_context():
        assert current_revision() == newest_revision()
    old.flask("audit", "verify")


def test_sessions_tokens_and_keys_still_work(old):
    needs("api_keys")
    assert "Rear Admiral" in old.browser_with_the_old_cookie().get("/account").text
    program = Program(old.app, token=old.known["access_token"])
    assert program.get("/users/me").json["data"]["email"] == "grace@example.com"
    program.refresh_token = old.known["refresh_token"]
    assert program.refresh().status_code == 200
    assert Program(old.app, token=old.known["api_key"]).get("/users").status_code == 200


def test_password_code_recovery_code_and_passkey_still_sign_in(old):
    needs("totp", "passkeys")
    for code in (App(old.known["totp_seed"], old.clock).code(steps=1), old.known["recovery_codes"][3]):
        browser = Browser(old.app)
        assert browser.login(old.person("ada")).location == "/auth/two-factor"
        browser.post("/auth/two-factor", {"code": code})
        assert browser.is_signed_in(), code

    passkey, kept = Passkey(), old.known["passkey"]
    passkey.key = ec.derive_private_key(int(kept["private"], 16), ec.SECP256R1())
    passkey.id, passkey.count, passkey.user_handle = bytes.fromhex(kept["id"]), kept["count"], kept["user_handle"]
    browser = Browser(old.app)
    credential = passkey.get(passkey_options(browser.get("/auth/login").text))
    browser.post("/auth/passkey", {"credential": credential, "purpose": "sign-in"})
    assert browser.is_signed_in()


def test_links_in_emails_still_work(old):
    browser = old.browser_with_the_old_cookie()
    confirm = browser.get(browser.get(old.known["email_change"]).location).location
    assert browser.post(confirm, {"password": old.known["password"]}).location == "/auth/confirm-email-change"
    assert browser.post("/auth/confirm-email-change").status_code == 302
    assert old.user("grace@new.example").id == old.known["ids"]["grace"]
    assert Browser(old.app).open_and_send(old.known["email_undo"]).status_code == 302
    assert old.user("grace@example.com").id == old.known["ids"]["grace"]

    assert Browser(old.app).verify_email(old.known["verification"], old.known["password"]).status_code == 302
    assert old.user("charles@example.com").is_verified()

    assert (
        Browser(old.app).open_and_send(old.known["invitation"], {"name": "Eve", "password": NEW_PASSWORD}).status_code
        == 302
    )
    assert old.roles("eve@example.com") == ["manager"]

    assert Browser(old.app).reset_password(old.known["reset"], NEW_PASSWORD).status_code == 302
    # Bob has a passkey, so his new password is the first of two steps.
    assert Browser(old.app).login("bob@example.com", NEW_PASSWORD).location == "/auth/two-factor"


def test_waiting_jobs_run_and_dead_jobs_can_be_retried(old):
    mailbox = Mailbox(old.app)
    assert (
        Browser(old.app).verify_email(mailbox.last_to("waiting@example.com").link, old.known["password"]).status_code
        == 302
    )
    old.flask("jobs", "retry", str(old.known["dead_job"]))
    assert "/auth/reset-password/" in mailbox.last_to("ada@example.com").link
    with old.app.app_context():
        there = db.session.query(Job).filter(Job.kind != "send_api_keys_narrowed")
        assert {job.state for job in there} == {JobState.DONE}


def test_api_keys_still_read_their_owners_account_and_the_owner_is_notified(old):
    needs("api_keys")
    program = Program(old.app, token=old.known["api_key"])
    assert program.get("/users/me").status_code == 200
    assert program.get("/sessions").status_code == 200
    before = program.get("/api-keys").json["data"]["items"]
    assert before[0]["scopes"] == ["users:read", "account:read"]
    assert program.put(f"/users/{old.known['ids']['grace']}", {"name": "x"}).status_code == 403
    assert program.delete(f"/api-keys/{before[0]['id']}").status_code == 403

    old.clock.now = datetime.now(UTC)
    subjects = [mail.subject for mail in Mailbox(old.app).to("grace@example.com")]
    assert subjects.count("Your Gatehouse API keys can do less") == 1


def test_checked_import_can_be_started(old):
    browser = old.browser_with_the_old_cookie()
    answer = browser.post(f"{old.known['import_page']}/start", page=old.known["import_page"])
    assert answer.status_code == 302, answer.text
    work_off(old.app)
    with old.app.app_context():
        assert db.session.query(UserImport).one().phase == "done"
    assert old.roles("dora@example.com") == ["member"]
