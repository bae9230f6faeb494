"""Second factors: verification codes and recovery codes, at sign-in, to confirm, and in programs."""

import re
from urllib.parse import unquote

import pytest
from sqlalchemy import func, select, update

from app.auth.models import Authenticator, Device, Session, Throttle
from app.auth.passwords import Passwords
from app.auth.services.factors import MAX_FAILURES
from app.core.encryption import key_id
from app.core.errors import Busy
from app.core.extensions import db
from app.core.principal import NO_VISIT, OPERATOR
from app.features import load_features
from app.own_data.service import OwnData
from app.unit_of_work import unit_of_work
from app.users.services.roles import RoleSpec
from tests.support.authenticator import App, set_up
from tests.support.browser import Browser
from tests.support.commands import flask_command
from tests.support.databases import SIGNING_KEY
from tests.support.pages import Page
from tests.support.program import Program

SECURITY = "/account/security"


@pytest.fixture
def own(app, ada):
    """Ada's browser with a recent sign-in."""
    browser = Browser(app)
    browser.login(ada)
    return browser


@pytest.fixture
def factor(own, clock):
    """Ada's app and recovery codes."""
    return set_up(own, clock)


@pytest.fixture
def phone(factor):
    return factor[0]


def after_password(app, person, **more):
    """A browser that has entered the password."""
    browser = Browser(app)
    answer = browser.login(person, **more)
    assert (answer.status_code, answer.location) == (303, "/auth/two-factor")
    assert not browser.is_signed_in()
    return browser


def authenticators(app, **which):
    with app.app_context():
        return db.session.scalars(select(Authenticator).filter_by(**which)).all()


# ── set-up ──


def test_authenticator_app_is_active_after_the_first_correct_code(app, own, ada, clock, mailbox):
    own.post(f"{SECURITY}/begin", page=SECURITY)
    page = own.get(f"{SECURITY}/codes").text
    seed = re.search(r'<code class="secret">([A-Z2-7 ]{39})</code>', page)[1].replace(" ", "")
    assert "<svg" in page
    assert f"secret={seed}" in page
    phone = App(seed, clock)
    assert own.post(f"{SECURITY}/codes", {"code": phone.wrong()}).status_code == 422
    assert Browser(app).login(ada).location == "/account"

    shown = own.post(f"{SECURITY}/codes", {"code": phone.code()}).text
    assert len(set(re.findall(r"[0-9a-z]{4}(?:-[0-9a-z]{4}){3}", shown))) == 10
    assert own.get(f"{SECURITY}/codes").location == SECURITY
    assert seed not in own.get(SECURITY).text
    assert after_password(app, ada)
    assert "An authenticator app was added" in mailbox.last_to(ada.email).text


def test_first_factor_ends_other_sessions_and_trusted_browsers(app, own, ada, clock):
    other, program = Browser(app), Program(app).login(ada)
    other.login(ada)
    set_up(own, clock)
    assert own.is_signed_in()
    assert not other.is_signed_in()
    assert program.get("/users/me").status_code == 401


def test_seed_is_encrypted_for_its_user(app, factor, people, clock, flask):
    (authenticator,) = authenticators(app, kind="totp")
    assert not re.fullmatch(r"[A-Z2-7]{32}", authenticator.secret)
    thief = people.add("thief@example.com")
    browser = Browser(app)
    browser.login(thief)
    set_up(browser, clock)
    with app.app_context(), unit_of_work() as work:
        moved = update(Authenticator).where(Authenticator.user_id == thief.id, Authenticator.kind == "totp")
        work.session.execute(moved.values(secret=authenticator.secret))
    assert authenticators(app, user_id=thief.id, kind="totp")[0].secret == authenticator.secret
    answer = after_password(app, thief).post("/auth/two-factor", {"code": factor[0].code()})
    assert answer.status_code == 422
    assert "authenticator apps" not in flask("doctor").output


def test_doctor_reports_a_missing_encryption_key(factor, make_app):
    output = flask_command(make_app(secret_key="fresh-Q8w2Lr6Tz1Xc5Vb9Nm3Kj7Hg4Fd0"), "doctor").output
    assert "1 authenticator apps were set up with another SECRET_KEY" in output


@pytest.mark.databases("sqlite")
def test_set_up_requires_a_fresh_confirmation(app, own, clock):
    clock.advance(minutes=11)
    assert own.post(f"{SECURITY}/begin", page=SECURITY).location.startswith("/auth/confirm")
    assert own.get(f"{SECURITY}/codes").location.startswith("/auth/confirm")
    assert authenticators(app) == []


def test_new_authenticator_app_replaces_the_old_one(app, own, ada, phone, clock):
    other, codes = set_up(own, clock)
    assert codes == []  # The recovery codes stay.
    assert after_password(app, ada).post("/auth/two-factor", {"code": phone.code()}).status_code == 422
    assert after_password(app, ada).post("/auth/two-factor", {"code": other.code()}).location == "/account"


@pytest.mark.databases("sqlite")
def test_set_up_started_in_another_tab_is_reported(app, own):
    own.post(f"{SECURITY}/begin", page=SECURITY)
    with app.app_context(), unit_of_work() as work:
        work.session.execute(update(Authenticator).values(confirmed_at=work.clock()))
    assert own.get(f"{SECURITY}/codes").location == SECURITY


# ── signing in ──


@pytest.mark.parametrize(
    "spelling", ["{}", " {} ", "{0[0]}{0[1]}{0[2]} {0[3]}{0[4]}{0[5]}", "{0[0]}-{0[1]}-{0[2]}{0[3]}{0[4]}{0[5]}"]
)
def test_code_signs_in_once_in_any_spelling(app, ada, phone, spelling):
    browser = after_password(app, ada, next="/account/sessions")
    typed = spelling.format(phone.code())
    assert browser.post("/auth/two-factor", {"code": typed}).location == "/account/sessions"
    assert browser.is_signed_in()
    for again in (phone.code(), typed, full_width(phone.code())):
        assert after_password(app, ada).post("/auth/two-factor", {"code": again}).status_code == 422


def full_width(code):
    return "".join(chr(ord(char) + 0xFEE0) for char in code)


@pytest.mark.databases("sqlite")
def test_full_width_digits_are_accepted(app, ada, phone):
    assert after_password(app, ada).post("/auth/two-factor", {"code": full_width(phone.code())}).location == "/account"


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(("steps", "status"), [(-2, 422), (-1, 302), (0, 302), (1, 302), (2, 422)])
def test_one_step_of_clock_drift_is_allowed(app, ada, phone, clock, steps, status):
    clock.advance(seconds=60)
    assert after_password(app, ada).post("/auth/two-factor", {"code": phone.code(steps=steps)}).status_code == status


@pytest.mark.databases("sqlite")
def test_earlier_code_is_refused_after_a_later_one(app, ada, phone, clock):
    clock.advance(seconds=60)
    assert after_password(app, ada).post("/auth/two-factor", {"code": phone.code(steps=1)}).status_code == 302
    assert after_password(app, ada).post("/auth/two-factor", {"code": phone.code()}).status_code == 422


NO_CODES = [
    "",
    "x",
    "12345",
    "1234567",
    "\u2460\u2461\u2462\u2463\u2464\u2465",
    "abcd-efgh-jkmn-pqrs",
    "9" * 65,
    "\x00",
]


@pytest.mark.databases("sqlite")
def test_malformed_code_is_refused(app, ada, phone, clock):
    for code in NO_CODES:
        clock.advance(minutes=15)
        assert after_password(app, ada).post("/auth/two-factor", {"code": code}).status_code == 422, code


def test_second_step_requires_the_first(app, ada, phone):
    for browser in (Browser(app), Browser(app)):
        assert browser.get("/auth/two-factor").location == "/auth/login"
        assert browser.post("/auth/two-factor", {"code": phone.code()}).location == "/auth/login"
        assert not browser.is_signed_in()


@pytest.mark.databases("sqlite")
def test_second_step_expires_after_ten_minutes(app, ada, phone, clock):
    browser = after_password(app, ada)
    clock.advance(minutes=11)
    assert browser.post("/auth/two-factor", {"code": phone.code()}).location == "/auth/login"
    assert not browser.is_signed_in()


def test_password_change_ends_pending_sign_ins(app, own, ada, phone, clock):
    browser = after_password(app, ada)
    own.post("/account/password", {"current_password": ada.password, "password": "seven lamps at dusk"})
    assert browser.post("/auth/two-factor", {"code": phone.code()}).location == "/auth/login"
    assert not browser.is_signed_in()


def test_reset_does_not_bypass_the_second_factor(app, ada, phone, mailbox):
    browser = Browser(app)
    browser.forgot_password(ada.email)
    browser.reset_password(mailbox.last_to(ada.email).link, "seven lamps at dusk")
    assert not browser.is_signed_in()
    assert browser.login(ada.email, "seven lamps at dusk").location == "/auth/two-factor"


def test_closed_account_is_restored_only_with_both_factors(app, own, ada, phone):
    with app.app_context(), unit_of_work() as work:
        work.users.delete_own(ada.id)
    browser = after_password(app, ada)
    with app.app_context():
        assert db.session.scalar(select(Session.id).where(Session.ended_at.is_(None))) is None
    assert browser.post("/auth/two-factor", {"code": phone.wrong()}).status_code == 422
    assert browser.post("/auth/two-factor", {"code": phone.code()}).location == "/account"
    assert browser.is_signed_in()


# ── recovery codes ──


def test_recovery_code_signs_in_once_and_notifies_the_owner(app, ada, factor, mailbox):
    _, codes = factor
    browser = after_password(app, ada)
    assert "Recovery code" in browser.get("/auth/two-factor?use=recovery").text
    resource_ref = codes[0].upper().replace("-", " ").replace("0", "o").replace("1", "I")
    assert browser.post("/auth/two-factor", {"code": resource_ref}).location == "/account"
    (mail,) = [mail for mail in mailbox.to(ada.email) if "Recovery code used" in mail.subject]
    assert "Recovery codes left: 9" in mail.text
    assert "9 of 10 codes left" in browser.get(SECURITY).text
    assert after_password(app, ada).post("/auth/two-factor", {"code": codes[0]}).status_code == 422


def test_recovery_codes_are_stored_as_slow_hashes(app, factor):
    stored = authenticators(app, kind="recovery")
    assert len(stored) == 10
    assert all(row.code_hash.startswith("$argon2id$") for row in stored)
    assert len({row.code_hash for row in stored}) == 10


def test_new_recovery_codes_are_shown_once_and_replace_the_old(app, own, ada, factor):
    shown = own.post(f"{SECURITY}/recovery-codes", page=SECURITY)
    new = re.findall(r'<code class="secret">([^<]+)</code>', shown.text)
    assert len(new) == 10
    assert "no-store" in shown.headers["Cache-Control"]
    assert after_password(app, ada).post("/auth/two-factor", {"code": factor[1][0]}).status_code == 422
    assert after_password(app, ada).post("/auth/two-factor", {"code": new[0]}).status_code == 302


@pytest.mark.databases("sqlite")
def test_recovery_codes_can_be_downloaded_without_a_request(signed_in, clock):
    _, codes = set_up(signed_in, clock)
    page = Page(signed_in.post("/account/security/recovery-codes", page="/account/security").text)
    link = page.find("a[download]").attrs["href"]

    renewed = page.texts(".codes li")
    assert unquote(link) == "data:text/plain," + "\n".join(renewed) + "\n"
    assert not set(codes) & set(renewed)


def test_recovery_codes_require_a_factor(app, own):
    own.post(f"{SECURITY}/recovery-codes", page=SECURITY)
    assert authenticators(app) == []


# ── limits ──


def test_wrong_codes_are_delayed_across_new_passwords_and_programs(app, ada, phone, clock, mailbox):
    browser = after_password(app, ada)
    answers = [browser.post("/auth/two-factor", {"code": phone.wrong()}).status_code for _ in range(5)]
    assert answers == [422] * 5
    for again in (browser, after_password(app, ada)):
        answer = again.post("/auth/two-factor", {"code": phone.code()})
        assert answer.status_code == 429
        assert answer.headers["Retry-After"]
    answer = Program(app).post("/auth/login", {"email": ada.email, "password": ada.password, "code": phone.code()})
    assert answer.status_code == 429
    assert "Someone signed in with your password" in mailbox.last_to(ada.email).text
    clock.advance(minutes=1)
    assert after_password(app, ada).post("/auth/two-factor", {"code": phone.code()}).status_code == 302


def test_codes_are_refused_after_a_hundred_wrong_ones(app, ada, factor, clock):
    phone, codes = factor
    with app.app_context(), unit_of_work() as work:
        counted = update(Authenticator).where(Authenticator.kind == "totp")
        work.session.execute(counted.values(failures=MAX_FAILURES - 1))
    assert after_password(app, ada).post("/auth/two-factor", {"code": phone.wrong()}).status_code == 422
    answer = after_password(app, ada).post("/auth/two-factor", {"code": phone.code()})
    assert answer.status_code == 422
    assert "Too many wrong codes" in answer.text
    clock.advance(days=3)
    assert after_password(app, ada).post("/auth/two-factor", {"code": phone.code()}).status_code == 422
    assert after_password(app, ada).post("/auth/two-factor", {"code": codes[0]}).status_code == 302


def test_correct_code_resets_the_count(app, ada, phone):
    browser = after_password(app, ada)
    browser.post("/auth/two-factor", {"code": phone.wrong()})
    browser.post("/auth/two-factor", {"code": phone.code()})
    assert authenticators(app, kind="totp")[0].failures == 0


@pytest.mark.databases("sqlite", "postgresql")
def test_wrong_codes_elsewhere_do_not_lock_a_known_browser(app, ada, phone, clock):
    known_browser = after_password(app, ada)
    assert known_browser.post("/auth/two-factor", {"code": phone.code()}).location == "/account"
    known_browser.logout()
    clock.advance(seconds=30)
    stranger = after_password(app, ada)
    for _ in range(5):
        stranger.post("/auth/two-factor", {"code": phone.wrong()})
    assert stranger.post("/auth/two-factor", {"code": phone.code()}).status_code == 429

    known_browser.login(ada)
    assert known_browser.post("/auth/two-factor", {"code": phone.code()}).location == "/account"
    with app.app_context(), unit_of_work() as work:
        locked = update(Authenticator).where(Authenticator.kind == "totp").values(failures=MAX_FAILURES)
        work.session.execute(locked)
    known_browser.logout()
    clock.advance(minutes=1)
    assert "Too many wrong codes" in after_password(app, ada).post("/auth/two-factor", {"code": phone.code()}).text
    known_browser.login(ada)
    assert known_browser.post("/auth/two-factor", {"code": phone.code()}).location == "/account"


def test_wrong_codes_in_a_known_browser_are_counted_for_it(app, ada, phone, clock):
    known_browser = after_password(app, ada)
    known_browser.post("/auth/two-factor", {"code": phone.code()})
    known_browser.logout()
    known_browser.login(ada)
    answers = [known_browser.post("/auth/two-factor", {"code": phone.wrong()}).status_code for _ in range(6)]
    assert answers == [422] * 5 + [429]
    with app.app_context(), unit_of_work() as work:
        work.session.execute(update(Throttle).values(failures=MAX_FAILURES))
    clock.advance(minutes=16)
    known_browser.login(ada)
    assert "Too many wrong codes" in known_browser.post("/auth/two-factor", {"code": phone.code()}).text


def test_attempt_that_could_not_be_checked_is_not_counted(app, ada, factor, monkeypatch):
    browser = after_password(app, ada)

    def busy(*_, **__):
        raise Busy

    with monkeypatch.context() as patch:
        patch.setattr(Passwords, "derive", busy)
        assert "We&#39;re busy" in browser.post("/auth/two-factor", {"code": factor[1][0]}).text
    assert {authenticator.failures for authenticator in authenticators(app, kind="recovery")} == {0}
    assert browser.post("/auth/two-factor", {"code": factor[1][0]}).location == "/account"


# ── trusted browsers ──


@pytest.fixture
def trusted(app, ada, phone, clock):
    """Ada's browser, trusted for 30 days."""
    browser = after_password(app, ada)
    browser.post("/auth/two-factor", {"code": phone.code(), "trust": "y"})
    browser.logout()
    clock.advance(minutes=1)
    return browser


def test_trusted_browser_needs_no_code_for_thirty_days(app, ada, trusted, clock):
    assert trusted.login(ada).location == "/account"
    trusted.logout()
    assert after_password(app, ada)
    clock.advance(days=31)
    assert trusted.login(ada).location == "/auth/two-factor"


SENSITIVE = ["/account/api-keys", f"{SECURITY}/passkeys", f"{SECURITY}/codes", "/account/email", "/account/close"]


@pytest.mark.parametrize("way", ["password", "a new password"])
@pytest.mark.parametrize("path", SENSITIVE)
def test_trusted_browser_cannot_confirm_with_the_password_alone(trusted, ada, phone, clock, way, path):
    trusted.login(ada)
    password = ada.password
    if way == "a new password":
        password = "seven lamps at dusk"
        trusted.post("/account/password", {"current_password": ada.password, "password": password})

    confirm = trusted.get(path).location
    assert confirm.startswith("/auth/confirm?next=")
    assert trusted.post(confirm, {"password": password}).status_code == 422

    clock.advance(seconds=30)
    assert trusted.post(confirm, {"code": phone.code()}).location == path
    assert trusted.get(path).status_code in {200, 302}


@pytest.mark.databases("sqlite", "postgresql")
def test_last_factor_cannot_be_removed_with_the_password_alone(app, trusted, ada):
    trusted.login(ada)
    (factor,) = authenticators(app, kind="totp")

    answer = trusted.post(f"{SECURITY}/{factor.id}/remove", {"sure": "y"}, page="/account")

    assert answer.location.startswith("/auth/confirm")
    assert authenticators(app, kind="totp")


def test_trusted_browsers_are_listed_and_can_be_removed(app, own, ada, trusted):
    page = own.page(SECURITY)
    assert "Firefox on Linux" in page.text("#browsers ~ ul")
    with app.app_context():
        device = db.session.scalar(select(Device).where(Device.trusted_until.is_not(None)))
    own.post(f"{SECURITY}/browsers/{device.id}/distrust", page=SECURITY)
    assert trusted.login(ada).location == "/auth/two-factor"


def test_password_change_ends_trust(app, own, ada, trusted):
    own.post("/account/password", {"current_password": ada.password, "password": "seven lamps at dusk"})
    assert trusted.login(ada.email, "seven lamps at dusk").location == "/auth/two-factor"


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("change", ["recovery-codes", "Replace authenticator app"])
def test_factor_change_ends_trust(own, ada, trusted, clock, change):
    if change == "Replace authenticator app":
        set_up(own, clock)
    else:
        own.post(f"{SECURITY}/recovery-codes", page=SECURITY)
    assert trusted.login(ada).location == "/auth/two-factor"


def test_trusted_browser_of_another_user_cannot_be_removed(app, ada, trusted, people):
    other = Browser(app)
    other.login(people.add("grace@example.com"))
    with app.app_context():
        device = db.session.scalar(select(Device).where(Device.trusted_until.is_not(None)))
    other.post(f"{SECURITY}/browsers/{device.id}/distrust", page=SECURITY)
    assert trusted.login(ada).location == "/account"


# ── confirmation ──


@pytest.mark.databases("sqlite")
def test_user_with_a_factor_confirms_with_it_and_not_the_password(app, own, ada, phone, clock):
    clock.advance(minutes=11)
    assert own.get("/account/email").location == "/auth/confirm?next=/account/email"
    assert own.post("/auth/confirm", {"password": ada.password}).status_code == 422
    assert own.post("/auth/confirm", {"code": phone.wrong()}).status_code == 422
    assert own.post("/auth/confirm", {"code": phone.code(), "next": "/account/email"}).location == "/account/email"
    assert own.get("/account/email").status_code == 200
    assert own.post("/auth/confirm", {"code": phone.code()}).status_code == 422


@pytest.mark.databases("sqlite")
def test_code_of_another_user_confirms_nothing(app, own, people, phone, clock):
    other = Browser(app)
    other.login(people.add("grace@example.com"))
    theirs, _ = set_up(other, clock)
    clock.advance(minutes=11)
    assert own.post("/auth/confirm", {"code": theirs.code()}).status_code == 422


# ── removal ──


def test_removing_the_last_factor_needs_explicit_confirmation_and_leaves_nothing(app, own, ada, phone, mailbox):
    path = removal_of(app)
    assert own.post(path, page=path).status_code == 422
    assert own.post(path, {"sure": "y"}).location == SECURITY
    assert authenticators(app) == []
    assert "was removed" in mailbox.last_to(ada.email).text
    assert Browser(app).login(ada).location == "/account"
    assert own.post(path, {"sure": "y"}, page=SECURITY).location == SECURITY


def removal_of(app, **which):
    (removed,) = [authenticator for authenticator in authenticators(app, **which) if authenticator.kind != "recovery"]
    return f"{SECURITY}/{removed.id}/remove"


# ── roles that require a second factor ──


@pytest.fixture
def demanding(app):
    with app.app_context(), unit_of_work() as work:
        work.roles.create(
            RoleSpec(name="keeper", permissions=frozenset({"users:read"}), requires_second_factor=True), by=OPERATOR
        )


@pytest.fixture
def keeper(demanding, people):
    return people.add("keeper@example.com", roles=("keeper", "member"))


def test_user_who_lacks_a_required_factor_is_led_to_set_up(app, keeper, clock):
    browser, program = Browser(app), Program(app)
    assert browser.login(keeper, next="/users").location == "/users"
    for path in ("/users", "/account", "/account/email", "/account/api-keys"):
        assert browser.get(path).location == SECURITY
    assert "One of your roles requires it." in browser.get(SECURITY).text
    program.login(keeper)
    refused = program.get("/users/me")
    assert (refused.status_code, refused.json["errors"][0]["code"]) == (403, "two_factor_setup_required")
    assert browser.send("GET", "/auth/forward").status_code == 403

    set_up(browser, clock)
    assert browser.get("/users").status_code == 200
    assert program.get("/users/me").status_code == 401
    assert browser.send("GET", "/auth/forward").status_code == 200


def test_api_key_of_a_user_without_a_required_factor_is_refused(app, people, demanding):
    person = people.add("keeper@example.com")
    key = (
        Program(app)
        .login(person)
        .post("/api-keys", {"name": "Reporter", "scopes": ["account:read"]})
        .json["data"]["key"]
    )
    program = Program(app, token=key)
    assert program.get("/users/me").status_code == 200
    with app.app_context(), unit_of_work() as work:
        work.roles.assign(work.users.get(person.id), "keeper", by=OPERATOR)
    assert program.get("/users/me").json["errors"][0]["code"] == "two_factor_setup_required"


def test_required_last_factor_cannot_be_removed(app, keeper, clock):
    browser = Browser(app)
    browser.login(keeper)
    set_up(browser, clock)
    answer = browser.post(removal_of(app), {"sure": "y"})
    assert "requires a second factor" in browser.get(answer.location).text
    assert authenticators(app, kind="totp")


@pytest.mark.databases("sqlite")
def test_user_can_sign_out_before_set_up(app, keeper):
    browser = Browser(app)
    browser.login(keeper)
    browser.post("/auth/logout", page=SECURITY)
    assert browser.get(SECURITY).location.startswith("/auth/login")


# ── programs ──


def test_program_needs_password_and_code(app, ada, factor):
    phone, codes = factor
    sent = {"email": ada.email, "password": ada.password}
    program = Program(app)
    answer = program.post("/auth/login", sent)
    assert (answer.status_code, answer.json["errors"][0]["code"]) == (401, "two_factor_required")
    answer = program.post("/auth/login", sent | {"code": phone.wrong()})
    assert (answer.status_code, answer.json["errors"][0]["code"]) == (401, "wrong_code")
    answer = program.post("/auth/login", sent | {"password": "not the password", "code": phone.code()})
    assert (answer.status_code, answer.json["errors"][0]["code"]) == (401, "invalid_credentials")
    assert program.post("/auth/login", sent | {"code": phone.code()}).status_code == 200
    assert program.post("/auth/login", sent | {"code": phone.code()}).status_code == 401
    assert program.post("/auth/login", sent | {"code": codes[0]}).status_code == 200


@pytest.mark.databases("sqlite")
def test_unneeded_code_is_ignored(app, ada):
    sent = {"email": ada.email, "password": ada.password, "code": "123456"}
    assert Program(app).post("/auth/login", sent).status_code == 200


@pytest.mark.databases("sqlite")
def test_api_key_requires_a_session_with_a_fresh_factor(app, own, ada, phone, clock):
    clock.advance(minutes=11)
    assert own.get("/account/api-keys").location.startswith("/auth/confirm")


# ── secrets ──


@pytest.mark.databases("sqlite")
def test_seed_survives_a_change_of_secret_key(app, ada, factor, make_app, settings, clock):
    phone, _ = factor
    new, old = "fresh-Q8w2Lr6Tz1Xc5Vb9Nm3Kj7Hg4Fd0", settings.secret_key
    both = make_app(secret_key=new, secret_key_fallbacks=[old])
    assert after_password(both, ada).post("/auth/two-factor", {"code": phone.code()}).status_code == 302
    assert flask_command(both, "users", "reencrypt").output == "Encrypted again: 1.\n"
    assert flask_command(both, "users", "reencrypt").output == "Encrypted again: 0.\n"
    clock.advance(minutes=1)
    only = make_app(secret_key=new)
    assert after_password(only, ada).post("/auth/two-factor", {"code": phone.code()}).status_code == 302


@pytest.mark.databases("sqlite")
def test_housekeeping_reencrypts_seeds(app, ada, factor, make_app, settings):
    both = make_app(secret_key="fresh-Q8w2Lr6Tz1Xc5Vb9Nm3Kj7Hg4Fd0", secret_key_fallbacks=[settings.secret_key])
    with both.app_context(), unit_of_work() as work:
        sum(purge(work, 5000) for purge in load_features().purges)
    assert flask_command(both, "users", "reencrypt").output == "Encrypted again: 0.\n"


@pytest.mark.databases("sqlite", "postgresql")
@pytest.mark.parametrize("damage", ["AAAA", "A", "", "not base 64 at all", "ü"])
def test_damaged_seed_stops_neither_housekeeping_nor_sign_in(
    app, ada, factor, make_app, settings, clock, people, damage
):
    phone, codes = factor
    expired = people.add("bob@example.com")
    with app.app_context(), unit_of_work() as work:
        damaged = work.session.scalars(select(Authenticator).where(Authenticator.secret.is_not(None))).one()
        damaged.secret = f"{key_id(SIGNING_KEY)}.{damage}"
        work.sessions.start(expired.id, visit=NO_VISIT, remember=False)
    clock.advance(days=400)
    both = make_app(secret_key="fresh-Q8w2Lr6Tz1Xc5Vb9Nm3Kj7Hg4Fd0", secret_key_fallbacks=[settings.secret_key])
    with both.app_context(), unit_of_work() as work:
        assert sum(purge(work, 5000) for purge in load_features().purges) > 0
        assert work.session.scalar(select(func.count()).select_from(Session)) == 0
    browser = Browser(app)
    assert browser.login(ada).location == "/auth/two-factor"
    assert browser.post("/auth/two-factor", {"code": phone.code()}).status_code == 422
    assert browser.post("/auth/two-factor", {"code": codes[0]}).location == "/account"


def test_own_data_contains_no_seed_or_hash(app, ada, factor):
    with app.app_context(), unit_of_work() as work:
        sections = {name: list(rows) for name, rows in work[OwnData].sections(ada.id)}
    assert len(sections["authenticators"]) == 11
    assert not {"secret", "code_hash"} & set(sections["authenticators"][0])


def test_form_of_another_tab_counts_against_nobody(app, ada, people, clock):
    """Two accounts start signing in in two tabs; the first form is refused before its code is counted."""
    bob = people.add("bob@example.com")
    phones = {}
    for person in (ada, bob):
        browser = Browser(app)
        browser.login(person)
        phones[person.email], _ = set_up(browser, clock)
    tabs = Browser(app)
    tabs.login(ada)
    first = tabs.page("/auth/two-factor").value("half")
    tabs.login(bob)
    second = tabs.page("/auth/two-factor").value("half")
    assert first != second

    for _ in range(6):
        answer = tabs.post("/auth/two-factor", {"code": phones[ada.email].code(), "half": first})
        assert answer.location == "/auth/login"
    assert tabs.post("/auth/two-factor", {"code": phones[bob.email].code(), "half": second}).location == "/account"
