"""Actions that cannot be undone ask first, on a page of their own."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from app.api_keys.models import ApiKey
from app.audit.models import AuditEvent
from app.core.extensions import db
from app.invitations.models import Invitation
from app.oauth.models import OAuthIdentity
from app.oauth.service import Connections, Identity
from app.unit_of_work import unit_of_work
from tests.support.authenticator import set_up
from tests.support.browser import Browser
from tests.support.deleted import left_of
from tests.support.program import Program

pytestmark = pytest.mark.databases("sqlite", "postgresql")

PAGES = {"account", "admin", "auth", "home", "users"}
# Pages with one button and no question: the action can be undone, or does no more than a visit.
UNDONE_EASILY = {
    "account.begin",
    "account.cancel_email_change",
    "account.connect",
    "account.dismiss",
    "account.distrust",
    "account.end_session",
    "account.keep_factors",
    "account.request_copy",
    "admin.cancel_job",
    "admin.pause_entry",
    "admin.resend_mail",
    "admin.resume_entry",
    "admin.retry_job",
    "admin.retry_jobs",
    "admin.run_entry",
    "admin.run_job",
    "admin.send_sample",
    "admin.subscribe",
    "auth.logout",
    "auth.passkey",
    "home.set_theme",
    "auth.password_strength",
    "users.activate",
    "users.bulk",  # It shows a preview first.
    "users.cancel_import",
    "users.keep_factors",
    "users.resend_invitation",
    "users.restore",
    "users.resume_import",
    "users.send_confirmation",
    "users.start_import",  # Its page is the preview.
    "users.stop_impersonating",
}


@pytest.mark.databases("sqlite")
def test_destructive_buttons_ask_first_or_can_be_undone(app):
    endpoints = {
        rule.endpoint
        for rule in app.url_map.iter_rules()
        if "POST" in rule.methods and "GET" not in rule.methods and rule.endpoint.partition(".")[0] in PAGES
    }
    assert endpoints == left_of(UNDONE_EASILY, endpoints)


@pytest.fixture
def grace(app, admin, clock):
    """An administrator's browser, with another session elsewhere and an authenticator app."""
    browser = Browser(app)
    browser.sign_in(admin)
    set_up(browser, clock)
    Browser(app).sign_in(admin)
    return browser


@pytest.fixture
def ask(app, grace, admin, ada):
    """Paths with a confirmation page, each with something to lose."""
    Browser(app).sign_in(ada)
    grace.post("/account/api-keys", {"name": "Nightly"})
    grace.post("/users/new", {"email": "bob@example.com"})
    grace.post("/admin/roles/new", {"name": "clerk"})
    with app.app_context(), unit_of_work() as work:
        work[Connections].connect(admin.id, Identity("acme", "https://acme.example", "4711", None))
        ids = {model: work.session.scalar(select(func.max(model.id))) for model in (ApiKey, Invitation, OAuthIdentity)}
        role = work.roles.get("clerk").id
    return [
        "/account/sessions/end-others",
        "/account/security/recovery-codes",
        f"/account/api-keys/{ids[ApiKey]}/end",
        f"/account/connections/{ids[OAuthIdentity]}/disconnect",
        f"/admin/roles/{role}/delete",
        f"/users/invitations/{ids[Invitation]}/revoke",
        f"/users/{ada.id}/end-sessions",
        f"/users/{ada.id}/send-reset",
        f"/users/{ada.id}/delete",
    ]


def events(app):
    with app.app_context():
        return db.session.scalar(select(func.count()).select_from(AuditEvent))


def test_confirmation_page_acts_only_on_its_button(app, grace, ask):
    for path in ask:
        before = events(app)
        page = grace.page(path)
        assert grace.get(page.find("main .actions a").attrs["href"]).status_code == 200
        assert page.has('main form[method="post"] button.danger')
        assert events(app) == before, path

        sent = {"reason": "They asked for it."} if page.has('[name="reason"]') else {}
        assert grace.post(path, sent).status_code in {200, 302}
        assert events(app) > before, path


def test_vanished_object_is_reported(app, grace, ask):
    for path in ask[2:6]:
        assert grace.post(path).status_code == 302
        answer = grace.get(path)
        assert answer.status_code == 404 or "already" in grace.page(answer.location).text("main")


def test_deletion_requires_a_reason_shown_to_the_user(app, grace, ada, mailbox, flask):
    path = f"/users/{ada.id}/delete"
    assert grace.post(path, {"reason": " "}).status_code == 422
    assert "The user gets it by email." in grace.page(path).text("main")
    assert grace.post(path, {"reason": "Two accounts were yours."}).status_code == 302
    mail = mailbox.last_to(ada.email)
    assert "Reason: Two accounts were yours." in mail.text
    assert "Two accounts were yours." in mail.html
    assert "Two accounts were yours." in grace.page(f"/users/{ada.id}").text(".notice.warning")

    # An earlier reason is not shown again.
    grace.post(f"/users/{ada.id}/restore", page=f"/users/{ada.id}")
    assert flask("users", "delete", ada.email, "--yes").exit_code == 0
    assert "Reason" not in mailbox.last_to(ada.email).text


def test_api_and_command_accept_a_reason(app, admin, people, mailbox, flask):
    program = Program(app).login(admin)
    for number, body in enumerate((None, {}, {"reason": None}, {"reason": "Two accounts were yours."})):
        person = people.add(f"p{number}@example.com")
        answer = program.send("DELETE", f"/users/{person.id}", body)
        assert answer.status_code == 200, answer.text
        assert ("Reason: Two accounts were yours." in mailbox.last_to(person.email).text) is (number == 3)
    person = people.add("last@example.com")
    for wrong in ({"reason": ""}, {"reason": "x" * 501}, {"why": "x"}):
        assert program.send("DELETE", f"/users/{person.id}", wrong).status_code == 422
    assert flask("users", "delete", person.email, "--yes", "--reason", " ").exit_code == 2
    assert flask("users", "delete", person.email, "--yes", "--reason", "Left.").exit_code == 0
    assert "Reason: Left." in mailbox.last_to(person.email).text
