"""Invitations: bound to an address, used once, expiring, revocable, with roles on acceptance."""

import json

import pytest

from app.core.principal import OPERATOR
from app.unit_of_work import unit_of_work
from app.users.permissions import ROLES_ASSIGN, ROLES_READ, USERS_INVITE, USERS_READ
from app.users.services.roles import RoleSpec
from tests.support.browser import Browser
from tests.support.pages import Page
from tests.support.program import Program, code

BOB, GOOD = "bob@example.com", "a quieter harbour"


@pytest.fixture
def grace(client, admin):
    """An administrator's browser."""
    client.sign_in(admin)
    return client


@pytest.fixture
def invite(grace, mailbox):
    """Invite Bob with these roles; return his link."""

    def invite(*roles, email=BOB):
        assert grace.post("/users/new", {"email": email, "roles": list(roles)}).status_code == 302
        return mailbox.last_to(email).link

    return invite


def accept(browser, link):
    return browser.open_and_send(link, {"name": "Bob", "password": GOOD})


def roles_of(flask, email=BOB):
    return json.loads(flask("users", "show", email, "--json").output)["roles"]


def test_roles_are_assigned_at_acceptance(invite, new_browser, flask):
    link = invite("manager")
    assert roles_of(flask) == []
    browser = new_browser()
    assert accept(browser, link).status_code == 302
    assert roles_of(flask) == ["manager"]
    assert browser.login(BOB, GOOD).status_code == 302
    assert browser.get("/users").status_code == 200
    assert new_browser().get(link).status_code == 410


def test_role_the_inviter_has_lost_is_not_assigned(app, people, mailbox, new_browser, flask):
    with app.app_context(), unit_of_work() as work:
        wide = frozenset({USERS_INVITE, ROLES_ASSIGN, ROLES_READ})
        work.roles.create(RoleSpec(name="recruiter", permissions=wide), by=OPERATOR)
        work.roles.create(RoleSpec(name="reader", permissions=frozenset({ROLES_READ})), by=OPERATOR)
    inviter = Program(app).login(people.add("ivy@example.com", roles=("recruiter",)))
    links = {}
    for name in ("one", "two", "three"):
        assert inviter.post("/users", {"email": f"{name}@example.com", "roles": ["reader"]}).status_code == 201
        links[name] = mailbox.last_to(f"{name}@example.com").link

    accept(new_browser(), links["one"])
    flask("roles", "revoke", "recruiter", ROLES_READ)
    accept(new_browser(), links["two"])
    flask("roles", "grant", "recruiter", ROLES_READ)
    flask("users", "delete", "ivy@example.com", "--now", "--yes")
    accept(new_browser(), links["three"])

    assert [roles_of(flask, f"{name}@example.com") for name in links] == [["reader"], ["member"], ["member"]]


def test_invitation_cannot_exceed_the_inviters_permissions(app, people, invite, flask):
    invite("administrator")
    with app.app_context(), unit_of_work() as work:
        work.roles.create(RoleSpec(name="recruiter", permissions=frozenset({USERS_INVITE, USERS_READ})), by=OPERATOR)
    browser = Browser(app)
    browser.sign_in(people.add("ivy@example.com", roles=("recruiter",)))
    page = browser.page("/users/invitations")
    (resend,) = [form.attrs["action"] for form in page.find_all('main form[action$="/resend"]')]
    for action in (resend, resend.replace("resend", "revoke")):
        assert browser.post(action, {}, page="/users/invitations").status_code == 403


def test_invitation_is_listed_resent_and_revoked(invite, grace, mailbox, new_browser, clock, admin):
    first = invite("manager")
    row = grace.page("/users/invitations").text("main .rows li")
    for part in (BOB, "manager", f"by {admin.name}", "Expires"):
        assert part in row
    clock.advance(days=8)
    grace.sign_in(admin)
    assert new_browser().get(first).status_code == 410
    assert "Expired" in grace.page("/users/invitations").text("main .rows li")

    form = grace.page("/users/invitations").find('main form[action$="/resend"]').attrs["action"]
    grace.post(form, {}, page="/users/invitations")
    second = mailbox.last_to(BOB).link
    assert second != first
    assert new_browser().get(second).status_code == 303
    revoke = form.replace("resend", "revoke")
    grace.post(revoke, {}, page="/users/invitations")
    assert new_browser().get(second).status_code == 410
    assert "No pending invitations" in grace.page("/users/invitations").text("main")
    for action in (form, revoke):
        assert grace.post(action, {}, page="/users/invitations").status_code == 404


def is_invited(grace):
    return BOB in grace.page("/users/invitations").text("main")


@pytest.mark.databases("sqlite", "postgresql")
def test_password_reset_at_the_invited_address_accepts_the_invitation(invite, grace, mailbox, new_browser, flask):
    link = invite("administrator")
    assert is_invited(grace)
    browser = new_browser()
    browser.forgot_password(BOB)
    browser.reset_password(mailbox.last_to(BOB).link, GOOD)
    assert roles_of(flask) == ["administrator"]
    assert not is_invited(grace)
    assert new_browser().get(link).status_code == 410


@pytest.mark.databases("sqlite", "postgresql")
def test_sign_up_and_confirmation_at_the_invited_address_accept_it(invite, grace, mailbox, new_browser, flask):
    link = invite("manager")
    browser = new_browser()
    browser.register(BOB, GOOD)
    assert (roles_of(flask), is_invited(grace)) == ([], True)
    browser.verify_email(mailbox.last_to(BOB).link)
    assert (roles_of(flask), is_invited(grace)) == (["manager"], False)
    assert new_browser().get(link).status_code == 410


def test_stranger_who_signs_up_with_an_invited_address_gains_nothing(invite, grace, mailbox, new_browser, flask, clock):
    invite("manager")
    stranger = new_browser()
    stranger.register(BOB, "a password of a stranger", name="Mallory")
    confirmation = mailbox.last_to(BOB).link
    form = grace.page("/users/invitations").find('main form[action$="/resend"]').attrs["action"]
    grace.post(form, {}, page="/users/invitations")
    link = mailbox.last_to(BOB).link
    assert "/invitation/" in link

    accept(new_browser(), link)
    assert roles_of(flask) == ["manager"]
    assert stranger.login(BOB, "a password of a stranger").status_code == 422
    assert new_browser().get(confirmation).status_code == 410


def test_expired_invitation_assigns_no_roles(invite, grace, mailbox, new_browser, flask, clock):
    invite("administrator")
    clock.advance(days=8)
    browser = new_browser()
    browser.forgot_password(BOB)
    browser.reset_password(mailbox.last_to(BOB).link, GOOD)
    assert roles_of(flask) == ["member"]


@pytest.mark.settings(registration="invite")
def test_expired_invitation_is_refused_where_one_is_required(invite, mailbox, new_browser, flask, clock, app):
    invite("administrator")
    clock.advance(days=8)
    browser = new_browser()
    browser.forgot_password(BOB)
    link = mailbox.last_to(BOB).link
    answer = browser.reset_password(link, GOOD)
    assert (answer.status_code, "Sign-up is closed" in answer.text) == (403, True)
    assert browser.login(BOB, GOOD).status_code == 422
    refused = Program(app).post("/auth/reset-password", {"token": link.rpartition("/")[2], "password": GOOD})
    assert (refused.status_code, code(refused)) == (403, "registration_closed")


@pytest.mark.databases("sqlite", "postgresql")
def test_email_change_accepts_no_invitation(invite, mailbox, people, new_browser, flask):
    invite("administrator")
    ada = people.add("ada@example.com")
    browser = new_browser()
    browser.sign_in(ada)
    browser.post("/account/email", {"email": BOB, "password": ada.password})
    browser.open_and_send(mailbox.last_to(BOB).link)
    assert "administrator" not in roles_of(
        flask, ada.email if flask("users", "show", ada.email).exit_code == 0 else BOB
    )


def test_closing_registration_closes_pending_invitations_and_sign_ups(invite, grace, mailbox, new_browser, flask):
    link = invite("manager")
    browser = new_browser()
    browser.register("eve@example.com", GOOD)
    confirmation = mailbox.last_to("eve@example.com").link
    grace.post("/admin/settings", {"registration": "closed", "announcement": ""}, page="/admin/settings")
    bob = new_browser()
    for answer in (bob.get(bob.get(link).location), browser.verify_email(confirmation)):
        assert (answer.status_code, "Sign-up is closed." in answer.text) == (403, True)
    assert roles_of(flask) == roles_of(flask, "eve@example.com") == []
    grace.post("/admin/settings", {"registration": "", "announcement": ""}, page="/admin/settings")
    assert accept(new_browser(), link).status_code == 302
    assert roles_of(flask) == ["manager"]


def test_user_who_signed_up_keeps_the_account_when_the_invitation_is_revoked(invite, grace, new_browser, flask):
    invite("manager")
    new_browser().register(BOB, GOOD)
    revoke = grace.page("/users/invitations").find('main a[href$="/revoke"]').attrs["href"]
    grace.post(revoke)
    assert flask("users", "show", BOB).exit_code == 0


def test_invitations_from_the_command_line(flask, mailbox, new_browser, clock):
    assert flask("invitations", "list").output == "No invitations.\n"
    assert flask("invitations", "send", BOB, "--role", "administrator").exit_code == 0
    assert flask("invitations", "send", BOB).exit_code == 1
    (listed,) = json.loads(flask("invitations", "list", "--json").output)
    assert (listed["email"], listed["roles"], listed["inviter"]) == (BOB, ["administrator"], None)
    assert BOB in flask("invitations", "list").output
    assert flask("invitations", "resend", BOB).exit_code == 0
    assert accept(new_browser(), mailbox.last_to(BOB).link).status_code == 302
    assert roles_of(flask) == ["administrator"]
    for command in ("resend", "revoke"):
        refused = flask("invitations", command, BOB)
        assert (refused.exit_code, f"No invitation for {BOB}." in refused.stderr) == (1, True)
    flask("invitations", "send", "eve@example.com")
    assert flask("invitations", "revoke", "eve@example.com").exit_code == 0
    assert flask("users", "show", "eve@example.com").exit_code == 1


def test_invitations_through_the_api(app, admin, ada, mailbox):
    root, member = Program(app).login(admin), Program(app).login(ada)
    invited = root.post("/users", {"email": BOB, "roles": ["manager"]})
    assert invited.json["data"]["roles"] == ["manager"]
    root.post("/users", {"email": "eve@example.com"})
    first = root.get("/invitations?limit=1").json["data"]
    second = root.get(f"/invitations?limit=1&cursor={first['next']}").json["data"]
    (invitation,) = second["items"]
    assert (invitation["email"], invitation["inviter_id"], second["next"]) == (BOB, admin.id, None)
    path = f"/invitations/{invitation['id']}"
    assert root.get(path).json["data"] == invitation
    assert root.post(f"{path}/resend").status_code == 202
    for answer in (member.get("/invitations"), member.get(path), member.delete(path), member.post(f"{path}/resend")):
        assert answer.status_code == 403
    assert root.delete(path).status_code == 200
    assert code(root.get(path)) == "not_found"


@pytest.mark.settings(registration="closed")
def test_closed_registration_refuses_invitations(app, grace, admin):
    refused = grace.post("/users/new", {"email": BOB})
    assert (refused.status_code, "Sign-up is closed." in Page(refused.text).text(".summary")) == (422, True)
    answer = Program(app).login(admin).post("/users", {"email": BOB})
    assert (answer.status_code, code(answer)) == (403, "registration_closed")


@pytest.mark.settings(registration="invite")
def test_invitation_only_registration(invite, new_browser):
    browser = new_browser()
    assert accept(browser, invite()).status_code == 302
    assert browser.login(BOB, GOOD).status_code == 302
