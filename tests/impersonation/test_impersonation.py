"""Impersonation: with a reason, for a limited time, within one's rank, and visible to both users."""

import json
import re

import pytest
from sqlalchemy import select

from app.auth.models import Session
from app.core.extensions import db
from app.core.principal import OPERATOR
from app.impersonation.permissions import USERS_IMPERSONATE
from app.unit_of_work import unit_of_work
from app.users.permissions import USERS_READ
from app.users.services.roles import RoleSpec
from tests.support.browser import Browser
from tests.support.deleted import left_of
from tests.support.pages import Page

PAGE = "/account"


@pytest.fixture
def grace(client, admin):
    """An administrator's browser."""
    client.sign_in(admin)
    return client


@pytest.fixture
def acting(grace, ada):
    """Grace's browser while she impersonates Ada."""
    assert grace.post(f"/users/{ada.id}/impersonate", {"reason": "Asked for help."}).location == "/account"
    return grace


def banner(browser):
    page = browser.page(PAGE)
    return page.text(".banner") if page.has(".banner") else ""


def stop(browser):
    return browser.post("/users/stop-impersonating", {}, page=PAGE)


def events(flask, *filters):
    return json.loads(flask("audit", "list", "--json", *filters).output)


def test_impersonator_sees_and_does_what_the_user_can(acting, ada, admin):
    assert "You're signed in as Ada Lovelace until" in banner(acting)
    assert ada.email in acting.page(PAGE).text("main")
    assert acting.get("/users").status_code == 403
    assert acting.post(PAGE, {"name": "Ada King"}).status_code == 302

    assert stop(acting).location == f"/users/{ada.id}"
    assert banner(acting) == ""
    assert "Ada King" in acting.page(f"/users/{ada.id}").text("h1")
    assert admin.email in acting.page(PAGE).text("main")


def test_audit_log_names_both_users(acting, ada, admin, flask):
    acting.post(PAGE, {"name": "Ada King"})
    stop(acting)

    (renamed,) = events(flask, "--kind", "user.renamed")
    (started,) = events(flask, "--kind", "impersonation.started")
    (end,) = events(flask, "--kind", "impersonation.ended")
    assert (renamed["actor"], renamed["on_behalf_of"], renamed["subject"]) == (admin.email, ada.email, ada.email)
    assert (started["actor"], started["subject"], started["values"]["reason"]) == (
        admin.email,
        ada.email,
        "Asked for help.",
    )
    assert (end["actor"], end["subject"]) == (admin.email, ada.email)
    assert "impersonating ada@example.com" in acting.page("/admin/audit?kind=user.renamed").text("main")


def row_ids(app):
    with app.app_context():
        return db.session.scalars(select(Session.id).where(Session.ended_at.is_(None))).all()


@pytest.mark.databases("sqlite", "postgresql")
def test_token_rotates_at_start_and_end_and_the_old_one_works_for_half_a_minute(app, grace, ada, clock):
    grace.get(PAGE)
    first, rows = grace.session_token(), row_ids(app)
    grace.post(f"/users/{ada.id}/impersonate", {"reason": "Asked for help."})
    assert grace.session_token() == first
    assert grace.get(PAGE).status_code == 200
    second = grace.session_token()
    assert second != first
    grace.get(PAGE)
    assert grace.session_token() == second

    late = Browser(app)
    late.use_token(first)
    assert late.get(PAGE).status_code == 200
    assert late.session_token() == first
    clock.advance(seconds=31)
    assert late.get(PAGE).status_code == 302
    assert grace.get(PAGE).status_code == 200

    stop(grace)
    assert grace.get(PAGE).status_code == 200
    assert grace.session_token() not in {first, second}
    assert row_ids(app) == rows


def test_token_rotates_at_expiry(grace, ada, clock, app):
    grace.post(f"/users/{ada.id}/impersonate", {"reason": "Asked for help."})
    grace.get(PAGE)
    before = grace.session_token()
    clock.advance(hours=2)
    grace.get(PAGE)
    assert grace.session_token() not in {before, ""}


def test_user_is_notified_and_can_read_the_reason(acting, ada, new_browser, mailbox):
    stop(acting)
    mail = mailbox.last_to(ada.email)
    assert "Grace Hopper" in mail.text
    assert "Asked for help." in mail.text
    browser = new_browser()
    browser.sign_in(ada)
    assert "An administrator impersonated this user: Asked for help." in browser.page("/account/activity").text("main")


@pytest.mark.settings(impersonation_notice=False)
def test_impersonation_email_is_optional(acting, ada, mailbox):
    stop(acting)
    assert mailbox.to(ada.email) == []


def test_sensitive_account_pages_are_refused_while_impersonating(acting, ada):
    for path in ("/account/password", "/account/email", "/account/api-keys", "/auth/confirm"):
        refused = acting.get(path)
        assert (refused.status_code, "while you impersonate someone" in refused.text) == (403, True), path
    for path in ("/account/email/cancel", "/account/sessions/end-others"):
        assert acting.post(path, {}, page=PAGE).status_code in {403, 404}, path
    token = {"X-CSRFToken": acting.token_on(PAGE)}
    changed = acting.send("PUT", f"/api/v1/users/{ada.id}", json={"name": "x", "email": "x@example.com"}, headers=token)
    assert (changed.status_code, changed.json["errors"][0]["code"]) == (403, "confirmation_required")
    for method, path in (
        ("POST", "/api/v1/api-keys"),
        ("DELETE", "/api/v1/api-keys/1"),
        ("DELETE", f"/api/v1/users/{ada.id}"),
    ):
        assert acting.send(method, path, json={"name": "x"}, headers=token).status_code == 403, path


def test_impersonation_expires(acting, ada, clock, flask, work_off, mailbox):
    clock.advance(minutes=29)
    assert banner(acting)
    clock.advance(minutes=2)
    assert banner(acting) == ""
    flask("jobs", "schedule", "--once")
    work_off()
    assert "accessed your" in mailbox.last_to(ada.email).subject
    assert len(events(flask, "--kind", "impersonation.ended")) == 1
    assert stop(acting).status_code == 302
    assert len(events(flask, "--kind", "impersonation.ended")) == 1


def test_expired_impersonation_is_announced_when_the_next_starts(acting, ada, people, clock, mailbox, flask):
    clock.advance(minutes=31)
    acting.confirm("a quieter harbour")
    bob = people.add("bob@example.com", name="Bob")
    assert acting.post(f"/users/{bob.id}/impersonate", {"reason": "x"}).location == "/account"
    assert "accessed your" in mailbox.last_to(ada.email).subject
    (end,) = events(flask, "--kind", "impersonation.ended")
    assert end["subject"] == ada.email


@pytest.mark.parametrize(
    "change",
    [
        ("roles", "revoke", "helper", USERS_IMPERSONATE),
        ("users", "unassign", "mary@example.com", "helper"),
        ("users", "assign", "ada@example.com", "administrator"),
        ("users", "deactivate", "ada@example.com", "--reason", "x"),
        ("users", "delete", "ada@example.com", "--yes"),
        ("users", "delete", "ada@example.com", "--now", "--yes"),
    ],
)
def test_impersonation_ends_on_the_next_request_after_losing_the_permission(app, people, ada, client, flask, change):
    with app.app_context(), unit_of_work() as work:
        work.roles.create(RoleSpec(name="helper", permissions=frozenset({USERS_IMPERSONATE, USERS_READ})), by=OPERATOR)
    client.sign_in(people.add("mary@example.com", name="Mary", roles=("helper",)))
    assert client.post(f"/users/{ada.id}/impersonate", {"reason": "x"}).status_code == 302
    assert banner(client)

    assert flask(*change).exit_code == 0

    assert "Ada" not in banner(client)
    assert "mary@example.com" in client.page(PAGE).text("main")


def test_impersonation_ends_with_the_administrators_session(acting, admin, flask):
    flask("users", "deactivate", admin.email, "--reason", "x")
    people_left = flask("users", "revoke-sessions", admin.email)
    assert people_left.exit_code == 0
    assert acting.get(PAGE).status_code == 302


def test_sign_out_signs_the_administrator_out(acting):
    acting.post("/auth/logout", {}, page=PAGE)
    assert acting.get(PAGE).status_code == 302


def test_impersonation_is_refused_for_stronger_users_oneself_and_inactive_users(app, people, admin, ada, client, flask):
    with app.app_context(), unit_of_work() as work:
        work.roles.create(RoleSpec(name="helper", permissions=frozenset({USERS_IMPERSONATE, USERS_READ})), by=OPERATOR)
    mary = people.add("mary@example.com", name="Mary", roles=("helper",))
    client.sign_in(mary)
    assert client.get(f"/users/{admin.id}/impersonate").status_code == 403
    assert client.post(f"/users/{mary.id}/impersonate", {"reason": "x"}).status_code == 403
    assert client.post(f"/users/{ada.id}/impersonate", {"reason": ""}).status_code == 422
    flask("users", "deactivate", ada.email, "--reason", "x")
    assert client.post(f"/users/{ada.id}/impersonate", {"reason": "x"}).status_code == 422
    assert not client.page(f"/users/{ada.id}").has('a[href$="/impersonate"]')


def test_member_cannot_impersonate(signed_in, admin):
    refused = signed_in.get(f"/users/{admin.id}/impersonate")
    assert refused.status_code == 403
    assert stop(signed_in).status_code == 302


def test_impersonation_does_not_update_last_seen(acting, ada, admin, clock, flask):
    clock.advance(minutes=6)
    acting.get(PAGE)
    assert json.loads(flask("users", "show", ada.email, "--json").output)["last_seen_at"] is None
    assert json.loads(flask("users", "show", admin.email, "--json").output)["last_seen_at"] is not None


def test_signing_in_as_another_user_ends_the_administrators_session(acting, people, app):
    acting.login(people.add("bob@example.com"))
    assert banner(acting) == ""
    with app.app_context(), unit_of_work() as work:
        grace = work.users.get_by_email("grace@example.com")
        assert work.sessions.list_live(grace.id) == []
    assert Page(acting.get(PAGE).text).has("main")


# Forms open to an impersonator: none changes who can get into the account.
ALLOWED_FORMS = {
    "account.dismiss",  # discards a pending identity
    "account.profile",  # the name
    "auth.forgot_password",  # sends an email to the user
    "auth.login",  # ends the session
    "auth.logout",
    "auth.passkey",  # like sign-in; confirming is refused
    "auth.password_strength",
    "auth.register",  # redirects to the account
    "auth.resend_verification",  # sends an email to the user
    "auth.two_factor",  # like sign-in
    "users.stop_impersonating",
}


def test_security_forms_are_closed_while_impersonating(app, acting):
    token = {"csrf_token": acting.token()}
    may_send = set()
    for rule in app.url_map.iter_rules():
        if "POST" not in rule.methods or not rule.endpoint.startswith(("account.", "auth.", "users.stop")):
            continue
        view = app.view_functions[rule.endpoint]
        if not (getattr(view, "wants_confirmation", False) or getattr(view, "is_by_oneself", False)):
            may_send.add(rule.endpoint)
            continue
        answer = acting.send("POST", re.sub(r"<[^>]+>", "1", rule.rule), data=token)
        assert answer.status_code == 403, rule

    assert may_send == left_of(ALLOWED_FORMS, may_send)


@pytest.mark.parametrize("purpose", ["verify-email", "reset-password", "invitation", "confirm-email-change"])
def test_links_are_refused_while_impersonating(acting, purpose):
    assert acting.get(f"/auth/{purpose}/{'x' * 43}").status_code == 403
    assert acting.get(f"/auth/{purpose}").status_code == 403


def test_email_cannot_be_changed_by_impersonating_its_owner(acting, ada, admin, mailbox, new_browser, flask):
    stop(acting)
    edit = f"/users/{ada.id}/edit"
    sent = {"name": ada.name, "email": "helper@example.com", "roles": "member"}
    answer = acting.post(edit, sent | {"version": acting.page(edit).value("version")})
    assert answer.status_code == 302
    link = mailbox.last_to("helper@example.com").link
    acting.post(f"/users/{ada.id}/impersonate", {"reason": "Asked for help."})

    assert acting.get(link).status_code == 403
    stop(acting)

    # Outside impersonation they are asked for the password like everyone.
    assert acting.get(link).location == "/auth/confirm-email-change"
    assert acting.page("/auth/confirm-email-change").has('input[type="password"]')
    assert acting.post("/auth/confirm-email-change", {"password": "not her password"}).status_code == 422
    assert events(flask, "--kind", "email.changed") == []
