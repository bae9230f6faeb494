"""Recovery removes an intruder: after a reset, an operator's password, a deactivation or an undone change."""

import re

import pytest
from sqlalchemy import func, select

from app.auth.models import Authenticator
from app.core.extensions import db
from app.features import load_features
from app.unit_of_work import unit_of_work
from tests.support.authenticator import Passkey, add_passkey, passkey_options, set_up
from tests.support.browser import Browser
from tests.support.program import Program

NEW = "seven lamps at dusk"
THIEF = "thief@evil.example"


class Intruder:
    """Everything that an attacker with a minute of access leaves behind."""

    def __init__(self, app, person):
        self.browser = Browser(app)
        assert self.browser.login(person).status_code == 302
        self.program = Program(app).login(person)
        key = self.program.post("/api-keys", {"name": "backup", "scopes": ["account:read"]})
        assert key.status_code == 201
        self.key = Program(app, token=key.json["data"]["key"])
        assert self.is_in() == [True, True, True]

    def is_in(self):
        """Return which of session, access token and API key still work."""
        programs = [program.get("/users/me").status_code == 200 for program in (self.program, self.key)]
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
        flask("users", "reactivate", person.email),
    ],
}


@pytest.mark.databases("sqlite", "postgresql")
@pytest.mark.parametrize("recovery", RECOVERIES)
def test_recovery_revokes_sessions_tokens_and_keys(app, ada, mailbox, flask, recovery):
    intruder = Intruder(app, ada)
    intruder.browser.post("/account/email", {"email": THIEF})
    link = mailbox.last_to(THIEF).link

    RECOVERIES[recovery](app, mailbox, flask, ada)

    assert intruder.is_in() == [False, False, False]
    assert intruder.refresh() == 401
    assert Browser(app).get(link).status_code == 410


@pytest.mark.parametrize("recovery", RECOVERIES)
def test_recovery_ends_trust_in_browsers(app, ada, mailbox, flask, clock, recovery):
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
def test_undoing_an_email_change_removes_later_additions_and_keeps_older_ones(app, ada, mailbox, clock):
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
def test_owner_without_a_factor_regains_access_after_undoing_an_attackers_factor(app, ada, mailbox, clock):
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


# ── undo links for added factors ──


def announced(mailbox, person, *words):
    """Return the link in the newest email to `person` whose subject has one of these words."""
    return next(mail for mail in reversed(mailbox.to(person.email)) if any(word in mail.subject for word in words)).link


def undo(app, link, **proof):
    return Browser(app).open_and_send(link, proof)


ADDITIONS = {
    "passkey": (lambda browser, clock: add_passkey(browser), "passkey was added"),
    "app": (lambda browser, clock: set_up(browser, clock), "app was added"),
    "API key": (lambda browser, clock: make_key(browser), "API key"),
}


def make_key(browser):
    answer = browser.post("/account/api-keys", {"name": "backup", "lifetime": "30"})
    assert answer.status_code == 200, answer.text


@pytest.mark.databases("sqlite", "postgresql")
@pytest.mark.parametrize("added", ADDITIONS)
def test_undo_link_removes_the_announced_addition_and_ends_all_access(app, ada, mailbox, clock, added):
    intruder = Intruder(app, ada)
    add, subject = ADDITIONS[added]
    add(intruder.browser, clock)
    link = announced(mailbox, ada, subject)

    owner = Browser(app)
    opened = owner.get(link)
    assert (opened.status_code, opened.location) == (303, "/auth/undo-addition")
    assert intruder.browser.is_signed_in()
    assert undo(app, link).location == "/auth/forgot-password"

    assert intruder.is_in() == [False, False, False]
    assert intruder.refresh() == 401
    assert Browser(app).login(ada).status_code == 422  # The password that the attacker knew.
    reset(app, mailbox, ada)
    assert Browser(app).login(ada.email, NEW).location == "/account"
    assert undo(app, link).status_code == 410


def test_undo_link_removes_exactly_the_announced_addition(app, ada, mailbox, clock):
    thief = Browser(app)
    thief.login(ada)
    first = add_passkey(thief, name="First")[0]
    link = announced(mailbox, ada, "was added")
    clock.advance(seconds=1)
    second = add_passkey(thief, Passkey(), name="Second")[0]
    later = announced(mailbox, ada, "was added")

    assert undo(app, link).location == "/auth/forgot-password"

    assert not signs_in(app, first)
    assert signs_in(app, second)
    assert undo(app, later).location == "/auth/forgot-password"
    assert not signs_in(app, second)
    reset(app, mailbox, ada)
    assert Browser(app).login(ada.email, NEW).location == "/account"


@pytest.mark.databases("sqlite", "postgresql")
def test_undo_link_asks_for_an_older_factor_and_restores_the_replaced_app(app, ada, mailbox, clock):
    owner = Browser(app)
    owner.login(ada)
    own_phone, own_codes = set_up(owner, clock)
    thief_phone, _ = set_up(owner, clock)
    link = announced(mailbox, ada, "was added")
    clock.advance(seconds=30)

    assert undo(app, link).status_code == 422
    assert undo(app, link, code=thief_phone.code()).status_code == 422
    assert undo(app, link, code=own_phone.wrong()).status_code == 422
    assert owner.is_signed_in()
    assert undo(app, link, code=own_phone.code()).location == "/auth/forgot-password"

    reset(app, mailbox, ada)
    back = Browser(app)
    assert back.login(ada.email, NEW).location == "/auth/two-factor"
    clock.advance(seconds=30)
    assert back.post("/auth/two-factor", {"code": thief_phone.code()}).status_code == 422
    assert back.post("/auth/two-factor", {"code": own_phone.code()}).location == "/account"
    back.logout()
    back.login(ada.email, NEW)
    assert back.post("/auth/two-factor", {"code": own_codes[0]}).location == "/account"


@pytest.mark.databases("sqlite", "postgresql")
def test_older_passkey_or_recovery_code_is_accepted_and_a_newer_one_is_not(app, ada, mailbox, clock):
    owner = Browser(app)
    owner.login(ada)
    older, codes = add_passkey(owner)
    clock.advance(seconds=1)
    make_key(owner)
    link = announced(mailbox, ada, "API key")
    clock.advance(seconds=1)
    younger = add_passkey(owner, Passkey())[0]
    assert undo(app, link, code=codes[0][:-1]).status_code == 422

    def with_passkey(passkey):
        browser = Browser(app)
        browser.get(link)
        signed = passkey.get(passkey_options(browser.get("/auth/undo-addition").text))
        return browser.post("/auth/undo-addition", {"credential": signed}, page="/auth/undo-addition")

    assert with_passkey(younger).status_code == 422
    assert owner.is_signed_in()
    assert with_passkey(older).location == "/auth/forgot-password"
    assert not owner.is_signed_in()
    assert signs_in(app, older)


def test_recovery_codes_created_by_the_attacker_are_not_accepted_as_older(app, ada, mailbox, clock):
    owner = Browser(app)
    owner.login(ada)
    add_passkey(owner)
    clock.advance(seconds=1)
    make_key(owner)
    link = announced(mailbox, ada, "API key")
    answer = owner.post("/account/security/recovery-codes", page="/account/security")
    codes = re.findall(r'<code class="secret">([^<]+)</code>', answer.text)
    assert undo(app, link, code=codes[0]).status_code == 422
    assert owner.is_signed_in()


@pytest.mark.databases("sqlite", "postgresql")
def test_replaced_app_is_restored_in_every_order_of_undoing(app, ada, mailbox, clock):
    """The app was replaced twice; both links work in either order, and removing the last app hides nothing."""
    owner = Browser(app)
    owner.login(ada)
    own_phone, _ = set_up(owner, clock)
    set_up(owner, clock)
    first = announced(mailbox, ada, "was added")
    second_phone, _ = set_up(owner, clock)
    second = announced(mailbox, ada, "was added")
    app_id = re.search(r"/account/security/(\d+)/remove", owner.get("/account/security").text)[1]
    assert owner.post(f"/account/security/{app_id}/remove", {"sure": "y"}).status_code == 302
    clock.advance(seconds=30)

    assert undo(app, first, code=own_phone.code()).location == "/auth/forgot-password"
    clock.advance(seconds=30)
    assert undo(app, second, code=second_phone.code()).status_code == 422
    clock.advance(minutes=5)
    assert undo(app, second, code=own_phone.code()).location == "/auth/forgot-password"

    reset(app, mailbox, ada)
    back = Browser(app)
    assert back.login(ada.email, NEW).location == "/auth/two-factor"
    clock.advance(seconds=30)
    assert back.post("/auth/two-factor", {"code": own_phone.code()}).location == "/account"


def test_undo_link_and_replaced_seed_expire(app, ada, mailbox, clock):
    owner = Browser(app)
    owner.login(ada)
    set_up(owner, clock)
    set_up(owner, clock)
    link = announced(mailbox, ada, "was added")
    clock.advance(hours=71)
    purge(app)
    assert seeds(app) == 2
    assert Browser(app).get(link).status_code == 303
    clock.advance(hours=2)
    purge(app)
    assert Browser(app).get(link).status_code == 410
    assert seeds(app) == 1


def test_pending_seed_expires_after_fifteen_minutes(app, ada, clock):
    browser = Browser(app)
    browser.login(ada)
    browser.post("/account/security/begin")
    assert browser.get("/account/security/codes").status_code == 200
    clock.advance(minutes=15, seconds=1)
    browser.confirm(ada.password)
    assert browser.get("/account/security/codes").location == "/account/security"
    assert seeds(app) == 1
    purge(app)
    assert seeds(app) == 0


def purge(app):
    with app.app_context(), unit_of_work() as work:
        sum(purge(work, 5000) for purge in load_features().purges)


def seeds(app):
    with app.app_context():
        return db.session.scalar(select(func.count()).where(Authenticator.secret.is_not(None)))


def test_undoing_an_email_change_restores_the_replaced_app(app, ada, mailbox, clock):
    owner = Browser(app)
    owner.login(ada)
    own_phone, _ = set_up(owner, clock)
    owner.post("/account/email", {"email": THIEF})
    link = mailbox.last_to(ada.email).link
    clock.advance(seconds=30)
    set_up(owner, clock)
    set_up(owner, clock)

    assert Browser(app).open_and_send(link).status_code == 302

    reset(app, mailbox, ada)
    back = Browser(app)
    assert back.login(ada.email, NEW).location == "/auth/two-factor"
    clock.advance(seconds=30)
    assert back.post("/auth/two-factor", {"code": own_phone.code()}).location == "/account"


def test_reset_lists_remaining_sign_in_methods_and_marks_recent_ones(app, ada, mailbox, clock):
    owner = Browser(app)
    owner.login(ada)
    add_passkey(owner, name="Own laptop")
    clock.advance(days=8)
    owner.login(ada)
    thief = Browser(app)
    thief.sign_in(ada)
    add_passkey(thief, Passkey(), name="Strange phone")

    link = mailbox.link_from(owner.forgot_password(ada.email))
    shown_at = owner.reset_password(link, NEW).location

    assert owner.page(shown_at).texts(".row-title") == ["Passkey: Strange phone New", "Passkey: Own laptop"]
    assert owner.get(shown_at).location == "/auth/login"


def test_undo_link_is_refused_while_impersonating(app, ada, admin, mailbox, clock):
    intruder = Intruder(app, ada)
    add_passkey(intruder.browser)
    link = announced(mailbox, ada, "was added")
    browser = Browser(app)
    browser.login(admin)
    browser.post(f"/users/{ada.id}/impersonate", {"reason": "help"})
    assert browser.get(link).status_code == 403
    assert browser.get("/auth/undo-addition").status_code == 403


# ── an account closed by an attacker ──


@pytest.fixture
def closed(app, ada, mailbox):
    """An attacker has changed the password of Ada's account and deleted it."""
    thief = Browser(app)
    thief.login(ada)
    answer = thief.post("/account/password", {"current_password": ada.password, "password": THIEFS})
    assert answer.status_code == 302, answer.text
    assert thief.post("/account/close", {"sure": "y"}).status_code == 302
    assert "deleted" in mailbox.last_to(ada.email).subject
    return thief


THIEFS = "nine crows at noon"


@pytest.mark.databases("sqlite", "postgresql")
def test_reset_reverts_the_owners_deletion(app, ada, closed, mailbox):
    assert "/auth/forgot-password" in mailbox.last_to(ada.email).text
    reset(app, mailbox, ada)

    assert Browser(app).login(ada.email, NEW).location == "/account"
    assert Browser(app).login(ada.email, THIEFS).status_code == 422
    assert any("reactivated" in mail.subject for mail in mailbox.to(ada.email))


def test_reset_does_not_revert_deletion_or_deactivation_by_an_administrator(app, ada, mailbox, flask):
    flask("users", "delete", ada.email, "--yes")
    before = len(mailbox.all())
    Browser(app).forgot_password(ada.email)
    assert len(mailbox.all()) == before


@pytest.mark.parametrize("way", ["page", "bulk", "api", "command"])
def test_closed_account_deactivated_by_an_administrator_cannot_be_revived(app, ada, admin, closed, mailbox, flask, way):
    link = mailbox.link_from(Browser(app).forgot_password(ada.email))
    helper, program = Browser(app), Program(app)
    helper.login(admin)
    page = f"/users/{ada.id}"
    assert helper.page(page).has(f'a[href="{page}/deactivate"]')
    if way == "page":
        assert helper.post(f"{page}/deactivate", {"reason": "stolen"}).location == page
    elif way == "bulk":
        sent = {"act": "deactivate", "users": [ada.id], "go": "y", "reason": "stolen"}
        assert helper.post("/users/bulk", sent).location == "/users"
    elif way == "api":
        program.login(admin)
        answer = program.put(f"/users/{ada.id}", {"name": "Ada", "is_active": False, "deactivation_reason": "stolen"})
        assert (answer.status_code, answer.json["data"]["is_active"]) == (200, False)
        assert program.put(f"/users/{ada.id}", {"name": "Ada"}).status_code == 404
    else:
        assert flask("users", "deactivate", ada.email, "--reason", "stolen").exit_code == 0

    assert Browser(app).login(ada.email, THIEFS).status_code == 422
    assert Browser(app).get(link).status_code == 410
    before = len(mailbox.all())
    Browser(app).forgot_password(ada.email)
    assert len(mailbox.all()) == before
    assert helper.get(f"{page}/edit").status_code == 404
    assert not helper.page(page).has(f'a[href="{page}/deactivate"]')


def test_keys_of_a_deleted_account_are_revoked(app, ada):
    intruder = Intruder(app, ada)
    intruder.browser.post("/account/close", {"sure": "y"})
    assert Browser(app).login(ada).location == "/account"
    assert intruder.is_in() == [False, False, False]
