"""Passkeys: to sign in, as the second step, and to confirm."""

import json

import pytest
from sqlalchemy import select

from app.audit.models import AuditEvent
from app.auth.models import Authenticator
from app.core.extensions import db
from app.own_data.service import OwnData
from app.passkeys.webauthn import encoded
from app.unit_of_work import reading
from tests.support.authenticator import Passkey, add_passkey, passkey_options, set_up
from tests.support.browser import Browser
from tests.support.program import Program

SECURITY = "/account/security"
ADD = f"{SECURITY}/passkeys"


@pytest.fixture
def own(app, ada):
    """Ada's browser with a recent sign-in."""
    browser = Browser(app)
    browser.sign_in(ada)
    return browser


@pytest.fixture
def passkey(own):
    return add_passkey(own)[0]


def stored(app, **which):
    with app.app_context():
        return db.session.scalars(select(Authenticator).filter_by(kind="passkey", **which)).all()


def sign_in(browser, passkey, **how):
    """Sign in on the sign-in page with the browser's passkey."""
    options = passkey_options(browser.get("/auth/login").text)
    return send(browser, passkey.get(options, **how))


def send(browser, credential, purpose="sign-in", **more):
    return browser.post(
        "/auth/passkey", {"credential": credential, "purpose": purpose, **more}, page="/auth/forgot-password"
    )


def is_refused(browser, answer):
    assert (answer.status_code, answer.location.partition("?")[0]) == (302, "/auth/login"), answer.text
    assert not browser.is_signed_in()
    return True


# ── adding ──


def test_passkey_signs_in_without_email_and_password(app, own, ada, mailbox):
    passkey, codes = add_passkey(own)
    assert len(set(codes)) == 10
    assert "passkey was added" in mailbox.last_to(ada.email).text
    browser = Browser(app)
    assert sign_in(browser, passkey).location == "/account"
    assert ada.email in browser.get("/account").text
    page = browser.get(SECURITY).text
    assert "Laptop" in page
    assert "Last used" in page
    assert "10 of 10 codes left" in page


@pytest.mark.databases("sqlite")
def test_browser_gets_the_options_of_the_standard(own, ada, passkey):
    options = passkey_options(own.get(ADD).text)
    assert options["rp"] == {"id": "gatehouse.test", "name": "Gatehouse"}
    assert (options["user"]["name"], options["attestation"]) == (ada.email, "none")
    assert len(options["challenge"]) == 58  # 43 characters encode 256 bits.
    assert options["excludeCredentials"] == [{"type": "public-key", "id": encoded(passkey.id)}]
    request = passkey_options(own.get("/auth/confirm").text)
    assert [credential["id"] for credential in request["allowCredentials"]] == [encoded(passkey.id)]
    at_sign_in = passkey_options(Browser(own.app).get("/auth/login").text)
    assert (at_sign_in["allowCredentials"], at_sign_in["userVerification"]) == ([], "required")


def test_first_passkey_ends_other_sessions_and_becomes_the_second_factor(app, own, ada):
    other, program = Browser(app), Program(app).login(ada)
    other.sign_in(ada)
    add_passkey(own)
    assert own.is_signed_in()
    assert not other.is_signed_in()
    assert program.get("/users/me").status_code == 401
    assert Browser(app).login(ada).location == "/auth/two-factor"
    refused = program.post("/auth/login", {"email": ada.email, "password": ada.password})
    assert refused.json["errors"][0]["code"] == "two_factor_required"


def test_passkey_is_added_once(app, own, ada, passkey, people):
    page = own.get(ADD).text
    again = {"name": "Again", "credential": passkey.create(passkey_options(page))}
    assert own.post(ADD, again, page="/account").status_code == 422
    other = Browser(app)
    other.sign_in(people.add("grace@example.com"))
    page = other.get(ADD).text
    theirs = {"name": "Mine", "credential": passkey.create(passkey_options(page))}
    assert "already in use" in other.post(ADD, theirs, page="/account").text
    assert len(stored(app)) == 1


@pytest.mark.databases("sqlite")
def test_number_of_passkeys_is_limited(app, own, monkeypatch):
    monkeypatch.setattr("app.passkeys.service.MAX_PASSKEYS", 1)
    add_passkey(own)
    second = Passkey().create(passkey_options(own.get(ADD).text))
    assert "maximum number of passkeys" in own.post(ADD, {"name": "x", "credential": second}, page="/account").text


def test_adding_requires_a_fresh_confirmation_and_ones_own_challenge(app, own, people, clock):
    other = Browser(app)
    other.sign_in(people.add("grace@example.com"))
    passkey = Passkey()
    theirs = passkey.create(passkey_options(other.get(ADD).text))
    assert own.post(ADD, {"name": "x", "credential": theirs}, page="/account").status_code == 422
    mine = passkey.create(passkey_options(own.get(ADD).text))
    assert own.post(ADD, {"name": "", "credential": mine}, page="/account").status_code == 422
    clock.advance(minutes=11)
    assert own.post(ADD, {"name": "x", "credential": mine}, page="/account").location.startswith("/auth/confirm")
    assert stored(app) == []


WRONG_CLIENTS = {
    "another site": {"origin": "https://evil.test"},
    "plain http": {"origin": "http://gatehouse.test:81"},
    "another challenge": {"challenge": encoded(b"x" * 43)},
    "no challenge": {"challenge": None},
    "a number": {"challenge": 5},
    "another act": {"type": "webauthn.get"},
}


@pytest.mark.databases("sqlite")
def test_invalid_attestation_adds_nothing(app, own):
    for case, client in WRONG_CLIENTS.items():
        credential = Passkey().create(passkey_options(own.get(ADD).text), **client)
        answer = own.post(ADD, {"name": "x", "credential": credential}, page="/account")
        assert answer.status_code == 422, case
    assert stored(app) == []


NONSENSE = [
    "",
    "x",
    "[]",
    "{}",
    '{"id": 1}',
    '{"id": "a", "response": {"clientDataJSON": "e30"}}',
    "9" * 70_000,
    "[" * 9000,
]


@pytest.mark.databases("sqlite")
def test_malformed_response_is_refused(app, own):
    browser = Browser(app)
    for credential in [*NONSENSE, '"\\ud800"']:
        answer = own.post(ADD, {"name": "x", "credential": credential}, page="/account")
        assert answer.status_code == 422, credential[:80]
        assert is_refused(browser, send(browser, credential)), credential[:80]


# ── signing in ──


def test_response_works_once_even_with_a_replayed_cookie(app, passkey):
    browser = Browser(app)
    credential = passkey.get(passkey_options(browser.get("/auth/login").text))
    browser.get("/auth/login")
    copy = browser.cookie("session").value
    assert send(browser, credential).location == "/account"
    thief = Browser(app)
    thief.http.set_cookie("session", copy, domain="gatehouse.test")
    assert is_refused(thief, send(thief, credential))


def test_challenge_is_bound_to_browser_purpose_and_ten_minutes(app, own, ada, passkey, clock):
    browser, other = Browser(app), Browser(app)
    credential = passkey.get(passkey_options(browser.get("/auth/login").text))
    other.get("/auth/login")
    assert is_refused(other, send(other, credential))
    halfway = Browser(app)
    halfway.login(ada)
    second = passkey.get(passkey_options(halfway.get("/auth/two-factor").text))
    assert is_refused(halfway, send(halfway, second))  # As a first factor it was not requested.
    credential = passkey.get(passkey_options(browser.get("/auth/login").text))
    clock.advance(minutes=11)
    assert is_refused(browser, send(browser, credential))


@pytest.mark.databases("sqlite")
def test_challenges_are_random(app):
    browser = Browser(app)
    seen = {passkey_options(browser.get("/auth/login").text)["challenge"] for _ in range(50)}
    assert len(seen) == 50


@pytest.mark.databases("sqlite")
def test_invalid_assertion_signs_no_one_in(app, passkey):
    browser = Browser(app)
    for case, client in (WRONG_CLIENTS | {"another act": {"type": "webauthn.create"}}).items():
        assert is_refused(browser, sign_in(browser, passkey, **client)), case


@pytest.mark.databases("sqlite")
def test_another_key_with_the_same_id_is_refused(app, passkey):
    forged = Passkey()
    forged.id, forged.user_handle = passkey.id, passkey.user_handle
    browser = Browser(app)
    assert is_refused(browser, sign_in(browser, forged))


@pytest.mark.databases("sqlite")
def test_passkey_with_another_user_handle_is_refused(app, passkey):
    browser = Browser(app)
    assert is_refused(browser, sign_in(browser, passkey, handle=encoded(b"someone else")))


@pytest.mark.databases("sqlite")
def test_unknown_passkey_is_reported(app):
    stranger = Passkey()
    stranger.user_handle = ""
    browser = Browser(app)
    answer = sign_in(browser, stranger)
    assert "don&#39;t know that passkey" in browser.get(answer.location).text


def test_passkey_without_user_verification_is_a_second_factor_only(app, own, ada):
    key, _ = add_passkey(own, Passkey(verifies=False))
    browser = Browser(app)
    assert is_refused(browser, sign_in(browser, key))
    browser.login(ada, next="/account/sessions")
    page = browser.get("/auth/two-factor").text
    answer = send(browser, key.get(passkey_options(page)), "two-factor", trust="y")
    assert answer.location == "/account/sessions"
    assert browser.is_signed_in()
    browser.logout()
    assert browser.login(ada).location == "/account"


def test_passkey_of_another_user_is_no_second_factor(app, own, ada, passkey, people):
    other = Browser(app)
    other.sign_in(people.add("grace@example.com"))
    theirs, _ = add_passkey(other)
    browser = Browser(app)
    browser.login(ada)
    page = browser.get("/auth/two-factor").text
    assert send(browser, theirs.get(passkey_options(page)), "two-factor").location == "/auth/two-factor"
    assert not browser.is_signed_in()


@pytest.mark.databases("sqlite")
def test_second_step_requires_the_first(app, own, passkey):
    browser = Browser(app)
    credential = passkey.get(passkey_options(browser.get("/auth/login").text))
    assert is_refused(browser, send(browser, credential, "two-factor"))


def test_stalled_counter_is_recorded_and_announced(app, ada, passkey, mailbox):
    assert sign_in(Browser(app), passkey).location == "/account"
    passkey.count = 0
    assert sign_in(Browser(app), passkey).location == "/account"
    assert any("may have been copied" in mail.subject for mail in mailbox.to(ada.email))
    with app.app_context():
        assert db.session.scalar(select(AuditEvent.kind).where(AuditEvent.kind == "factor.counter_fell"))


@pytest.mark.databases("sqlite")
def test_synced_passkey_without_a_counter_is_accepted(app, ada, passkey):
    for _ in range(2):
        passkey.count = -1
        assert sign_in(Browser(app), passkey).location == "/account"
    with app.app_context():
        assert not db.session.scalar(select(AuditEvent.kind).where(AuditEvent.kind == "factor.counter_fell"))


@pytest.mark.databases("sqlite")
def test_deactivated_account_cannot_sign_in_with_a_passkey(app, ada, passkey, flask):
    flask("users", "deactivate", ada.email, "--reason", "x")
    browser = Browser(app)
    assert is_refused(browser, sign_in(browser, passkey))


# ── confirming, removing ──


def test_passkey_confirms_its_owner(app, own, passkey, people, clock):
    other = Browser(app)
    other.sign_in(people.add("grace@example.com"))
    theirs, _ = add_passkey(other)
    clock.advance(minutes=11)
    page = own.get("/auth/confirm?next=/account/email").text
    assert send(own, theirs.get(passkey_options(page)), "confirm").location == "/auth/confirm"
    assert own.get("/account/email").status_code == 302
    page = own.get("/auth/confirm?next=/account/email").text
    answer = send(own, passkey.get(passkey_options(page)), "confirm", next="/account/email")
    assert answer.location == "/account/email"
    assert own.get("/account/email").status_code == 200


def test_removed_passkey_stops_working_at_once(app, own, ada, passkey):
    browser = Browser(app)
    credential = passkey.get(passkey_options(browser.get("/auth/login").text))
    path = f"{SECURITY}/{stored(app)[0].id}/remove"
    assert own.post(path).status_code == 422
    assert own.post(path, {"sure": "y"}).location == SECURITY
    assert is_refused(browser, send(browser, credential))
    assert Browser(app).login(ada).location == "/account"


def test_passkey_beside_another_factor_is_removed_without_a_question(app, own, ada, passkey, clock):
    set_up(own, clock)
    assert own.post(f"{SECURITY}/{stored(app)[0].id}/remove").location == SECURITY
    assert Browser(app).login(ada).location == "/auth/two-factor"


@pytest.mark.databases("sqlite")
def test_passkey_of_another_user_cannot_be_removed(app, passkey, people):
    other = Browser(app)
    other.sign_in(people.add("grace@example.com"))
    path = f"{SECURITY}/{stored(app)[0].id}/remove"
    assert other.get(path).location == SECURITY
    other.post(path, {"sure": "y"}, page="/account")
    assert len(stored(app)) == 1


def test_passkey_is_renamed_by_its_owner_only(app, own, ada, passkey, people):
    path = f"{SECURITY}/{stored(app)[0].id}"
    other = Browser(app)
    other.sign_in(people.add("grace@example.com"))
    assert other.get(path).status_code == 404

    assert own.post(path, {"name": "Work laptop"}).location == SECURITY
    assert [row.name for row in stored(app)] == ["Work laptop"]
    assert "renamed to “Work laptop”" in own.get("/account/activity").text
    assert own.post(path, {"name": ""}).status_code == 422


def test_name_of_a_new_passkey_is_the_browser(own):
    own.http.environ_base["HTTP_USER_AGENT"] = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"

    assert own.page(ADD).value("name") == "Firefox on Linux"


def test_last_sign_in_method_cannot_be_removed(app, own, ada, passkey, flask):
    with app.app_context():
        db.session.close()
    from_table = Authenticator.__table__
    with app.app_context(), db.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE users SET hashed_password = NULL")
        assert connection.execute(select(from_table.c.id)).first()
    answer = own.post(f"{SECURITY}/{stored(app)[0].id}/remove", {"sure": "y"})
    assert "Set a password first" in own.get(answer.location).text
    assert stored(app)


# ── relying party ──


@pytest.mark.settings(base_url="http://127.0.0.1:8000")
@pytest.mark.databases("sqlite")
def test_passkeys_need_a_host_name_or_localhost(app, ada):
    assert "data-passkey" not in Browser(app).get("/auth/login").text
    browser = Browser(app, base_url="http://localhost:8000")
    assert passkey_options(browser.get("/auth/login").text)["rpId"] == "localhost"


@pytest.mark.settings(base_url="https://accounts.example.com/in")
@pytest.mark.databases("sqlite")
def test_relying_party_id_comes_from_base_url(app):
    browser = Browser(app, base_url="https://accounts.example.com/in")
    assert passkey_options(browser.get("/auth/login").text)["rpId"] == "accounts.example.com"


@pytest.mark.databases("sqlite")
def test_own_data_names_the_passkey(app, ada, passkey):

    with app.app_context():
        rows = next(list(rows) for name, rows in reading()[OwnData].sections(ada.id) if name == "authenticators")
    (mine,) = [row for row in rows if row["kind"] == "passkey"]
    assert json.dumps(mine, default=str)
    assert mine["name"] == "Laptop"
