"""Recovery removes an intruder: what ends with a reset, an operator's password, a deactivation and an undone change."""

import pytest

from tests.support.authenticator import Passkey, add_passkey, passkey_options, set_up
from tests.support.browser import Browser
from tests.support.program import Program

NEW = "seven lamps at dusk"
THIEF = "thief@evil.example"


class Intruder:
    """Whatever a thief who was in for a minute has left behind."""

    def __init__(self, app, person):
        self.browser = Browser(app)
        assert self.browser.login(person).status_code == 302
        self.program = Program(app).login(person)
        key = self.program.post("/api-keys", {"name": "backup", "scopes": []})
        assert key.status_code == 201
        self.key = Program(app, token=key.json["data"]["key"])
        assert self.is_in() == [True, True, True]

    def is_in(self):
        """By the session, by the access token, and by the key."""
        programs = [each.get("/users/me").status_code == 200 for each in (self.program, self.key)]
        return [self.browser.is_signed_in(), *programs]

    def refresh(self):
        return self.program.refresh().status_code


def reset(app, mailbox, person, address=None):
    owner = Browser(app)
    link = mailbox.link_from(owner.forgot_password(address or person.email))
    assert owner.reset_password(link, NEW).status_code == 302
    return owner


RECOVERIES = {
    "reset": lambda app, mailbox, flask, person: reset(app, mailbox, person),
    "operator's password": lambda app, mailbox, flask, person: flask(
        "users", "edit", person.email, "--password-stdin", typed=f"{NEW}\n"
    ),
    "deactivation": lambda app, mailbox, flask, person: [
        flask("users", "deactivate", person.email, "--reason", "stolen"),
        flask("users", "activate", person.email),
    ],
}


@pytest.mark.databases("sqlite", "postgresql")
@pytest.mark.parametrize("recovery", RECOVERIES)
def test_recovery_ends_sessions_tokens_and_keys(app, ada, mailbox, flask, recovery):
    intruder = Intruder(app, ada)
    intruder.browser.post("/account/email", {"email": THIEF})
    link = mailbox.last_to(THIEF).link

    RECOVERIES[recovery](app, mailbox, flask, ada)

    assert intruder.is_in() == [False, False, False]
    assert intruder.refresh() == 401
    assert Browser(app).get(link).status_code == 410


@pytest.mark.parametrize("recovery", RECOVERIES)
def test_recovery_ends_the_trust_in_browsers(app, ada, mailbox, flask, clock, recovery):
    trusted = Browser(app)
    trusted.login(ada)
    phone, _ = set_up(trusted, clock)
    trusted.post("/auth/logout", page="/account")
    trusted.login(ada)
    trusted.post("/auth/two-factor", {"code": phone.code(), "trust": "y"})
    trusted.post("/auth/logout", page="/account")
    assert trusted.login(ada).location == "/account"

    RECOVERIES[recovery](app, mailbox, flask, ada)

    password = ada.password if recovery == "deactivation" else NEW
    assert trusted.login(ada.email, password).location == "/auth/two-factor"


@pytest.mark.databases("sqlite", "postgresql")
def test_undoing_a_change_of_address_removes_what_was_added_since_and_keeps_what_is_older(app, ada, mailbox, clock):
    owner = Browser(app)
    owner.login(ada)
    older = add_passkey(owner, name="Own laptop")[0]
    clock.advance(minutes=1)
    owner.post("/account/email", {"email": THIEF})
    undo = mailbox.last_to(ada.email).link
    clock.advance(minutes=1)
    added = add_passkey(owner, Passkey(), name="Thief's")[0]
    phone, _ = set_up(owner, clock)
    assert owner.open_and_send(mailbox.last_to(THIEF).link).status_code == 302

    assert Browser(app).open_and_send(undo).status_code == 302

    assert not owner.is_signed_in()
    assert not signs_in(app, added)
    assert signs_in(app, older)
    reset(app, mailbox, ada)
    back = Browser(app)
    assert back.login(ada.email, NEW).location == "/auth/two-factor"
    second = older.get(passkey_options(back.get("/auth/two-factor").text))
    sent = {"credential": second, "purpose": "two-factor"}
    assert back.post("/auth/passkey", sent, page="/auth/forgot-password").location == "/account"
    text = back.page("/account/security").text("main")
    assert "Own laptop" in text
    assert "Thief's" not in text
    assert back.post("/auth/two-factor", {"code": phone.code()}, page="/account").location == "/auth/login"


@pytest.mark.databases("sqlite", "postgresql")
def test_an_owner_without_a_factor_gets_in_after_undoing_what_a_thief_has_added(app, ada, mailbox, clock):
    intruder = Intruder(app, ada)
    intruder.browser.post("/account/email", {"email": THIEF})
    undo = mailbox.last_to(ada.email).link
    clock.advance(seconds=1)
    added = add_passkey(intruder.browser)[0]
    set_up(intruder.browser, clock)
    intruder.browser.open_and_send(mailbox.last_to(THIEF).link)

    assert Browser(app).open_and_send(undo).status_code == 302
    reset(app, mailbox, ada)

    assert Browser(app).login(ada.email, NEW).location == "/account"
    assert intruder.is_in() == [False, False, False]
    assert not signs_in(app, added)


def signs_in(app, passkey):
    browser = Browser(app)
    signed = passkey.get(passkey_options(browser.get("/auth/login").text))
    browser.post("/auth/passkey", {"credential": signed, "purpose": "sign-in"}, page="/auth/forgot-password")
    return browser.is_signed_in()
