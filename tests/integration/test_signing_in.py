"""Sign-in and sign-out: reveals no accounts, slows strangers down, never locks owners out."""

import pytest
from argon2 import extract_parameters
from sqlalchemy import select

from app.audit.models import AuditEvent
from app.auth.models import Session
from app.core.extensions import db
from app.unit_of_work import unit_of_work
from app.users.models import User
from tests.support.browser import Browser
from tests.support.pages import Page

WRONG = "not that harbour"


def kinds_on(app, user_id):
    with app.app_context():
        return list(
            db.session.scalars(select(AuditEvent.kind).where(AuditEvent.subject_id == user_id).order_by(AuditEvent.id))
        )


def said(response):
    """Return what a failed sign-in reveals: everything except the form's token and the reference."""
    page = Page(response.text)
    headers = {name: value for name, value in response.headers if name not in {"X-Request-ID", "Set-Cookie"}}
    headers.pop("Content-Length")
    cookies = sorted(value.partition("=")[0] for value in response.headers.getlist("Set-Cookie"))
    return response.status_code, headers, cookies, page.text("main")


def test_member_signs_in_and_sees_the_account(client, ada):
    answer = client.login(ada)

    assert (answer.status_code, answer.location) == (302, "/account")
    assert client.page("/account").value("name") == "Ada Lovelace"
    assert client.get("/").location == "/account"


def test_address_may_be_entered_in_any_case(client, ada):
    assert client.login("  ADA@example.COM", ada.password).status_code == 302


@pytest.mark.parametrize(
    "make",
    [
        lambda people, client, flask: "nobody@example.com",
        lambda people, client, flask: people.add("known@example.com").email,
        lambda people, client, flask: client.register("new@example.com") and "new@example.com",
        lambda people, client, flask: (
            (people.add("gone@example.com") and flask("users", "deactivate", "gone@example.com", "--reason", "x"))
            and "gone@example.com"
        ),
    ],
    ids=["unknown", "confirmed", "unconfirmed", "deactivated"],
)
def test_wrong_password_response_is_the_same_for_unknown_addresses(client, new_browser, people, flask, make):
    reference = new_browser().login("someone@example.com", WRONG)
    assert "Wrong email address or password." in said(reference)[-1]

    answer = client.login(make(people, new_browser(), flask), WRONG)

    assert said(answer) == said(reference)
    assert answer.status_code == 422


def test_deactivated_account_with_the_correct_password_looks_like_a_wrong_one(client, new_browser, ada, flask):
    flask("users", "deactivate", ada.email, "--reason", "left")

    assert said(client.login(ada)) == said(new_browser().login("nobody@example.com", WRONG))


def test_unconfirmed_address_is_revealed_only_with_the_correct_password(client, new_browser, mailbox):
    client.register("new@example.com", "a quieter harbour")

    answer = new_browser().login("new@example.com", "a quieter harbour")

    page = Page(answer.text)
    assert answer.status_code == 422
    assert "Confirm your email address" in page.text("main")
    form = page.find('form[action="/auth/resend-verification"]')
    assert form.query('input[name="email"]')[0].attrs["value"] == "new@example.com"


def test_resend_button_sends_the_link_again(client, mailbox):
    client.register("new@example.com", "a quieter harbour")
    mailbox.all()
    client.login("new@example.com", "a quieter harbour")

    sent = client.send(
        "POST", "/auth/resend-verification", data={"csrf_token": client.token(), "email": "new@example.com"}
    )

    assert client.verify_email(mailbox.link_from(sent)).status_code == 302


def test_refused_sign_in_keeps_the_address_and_checkbox_but_not_the_password(client):
    page = Page(client.login("nobody@example.com", WRONG, remember="y", next="/account/sessions").text)

    assert page.value("email") == "nobody@example.com"
    assert page.value("password") == ""
    assert page.value("next") == "/account/sessions"
    assert "checked" in page.find("#remember").attrs


def test_each_attempt_is_recorded(client, ada, app):
    client.login(ada, WRONG)
    client.login(ada)
    client.logout()

    assert kinds_on(app, ada.id)[-3:] == ["session.refused", "session.started", "session.signed_out"]


# ── delays ──


def test_strangers_are_slowed_down_with_a_stated_wait(client, ada):
    statuses = [client.login(ada, WRONG).status_code for _ in range(6)]
    assert statuses == [422, 422, 422, 422, 422, 429]

    slowed = client.login(ada)
    assert slowed.status_code == 429
    assert slowed.headers["Retry-After"] == "1"
    assert "Too many attempts" in Page(slowed.text).text("main")


def test_unknown_address_is_slowed_down_alike(client):
    statuses = [client.login("nobody@example.com", WRONG).status_code for _ in range(6)]

    assert statuses == [422, 422, 422, 422, 422, 429]


def test_correct_password_works_after_the_wait(client, ada, clock):
    for _ in range(6):
        client.login(ada, WRONG)

    clock.advance(seconds=1)

    assert client.login(ada).status_code == 302


def test_stranger_cannot_lock_the_owner_out_of_a_known_browser(client, new_browser, ada):
    client.login(ada)
    client.logout()
    stranger = new_browser()
    for _ in range(10):
        stranger.login(ada, WRONG)
    assert stranger.login(ada).status_code == 429

    assert client.login(ada).status_code == 302


def test_guessing_known_browser_slows_only_itself(client, new_browser, ada):
    client.login(ada)
    client.logout()
    for _ in range(6):
        client.login(ada, WRONG)

    assert client.login(ada).status_code == 429
    assert new_browser().login(ada).status_code == 302


def test_success_does_not_clear_charges_of_others(client, new_browser, ada):
    stranger = new_browser()
    for _ in range(4):
        stranger.login(ada, WRONG)
    new_browser().login(ada)

    assert [stranger.login(ada, WRONG).status_code for _ in range(2)] == [422, 429]


def test_device_cookie_works_for_its_own_account_only(client, new_browser, ada, people):
    bob = people.add("bob@example.com")
    client.login(bob)
    client.logout()
    for _ in range(5):
        new_browser().login(ada, WRONG)

    assert client.login(ada).status_code == 429


def test_owner_is_notified_once_a_day_of_many_wrong_passwords(client, ada, mailbox, clock):
    clock.advance_to_morning()
    for _ in range(14):
        client.login(ada, WRONG)
        clock.advance(minutes=10)

    assert [mail.subject for mail in mailbox.to(ada.email)] == ["Failed sign-ins to your Gatehouse account"]


def test_guesses_at_unknown_or_unconfirmed_addresses_send_no_email(client, mailbox, clock, app):
    client.register("new@example.com")
    before = len(mailbox.all())
    for email in ("nobody@example.com", "new@example.com"):
        for _ in range(12):
            client.login(email, WRONG)
            clock.advance(minutes=10)

    assert len(mailbox.all()) == before


# ── the next page ──


@pytest.mark.databases("sqlite")
def test_sign_in_returns_to_the_requested_page(client, ada):
    redirect = client.get("/account/sessions?x=1")
    assert redirect.location == "/auth/login?next=/account/sessions?x%3D1"

    page = client.page(redirect.location)
    answer = client.login(ada, next=page.value("next"))

    assert answer.location == "/account/sessions?x=1"


@pytest.mark.databases("sqlite")
def test_signed_in_user_is_redirected_from_sign_in(signed_in):
    assert signed_in.get("/auth/login?next=/account/email").location == "/account/email"
    assert signed_in.get("/auth/login").location == "/account"


# ── cookies ──


def test_sign_in_clears_the_previous_session_data(client, ada, app):
    """Anything that a stranger put into this browser is useless afterwards."""
    planted_token = client.token_on("/auth/login")
    planted = client.cookie("session").value

    client.login(ada)

    assert client.cookie("session").value != planted
    refused = client.send("POST", "/account", data={"csrf_token": planted_token, "name": "Eve"})
    assert refused.status_code == 400
    thief = Browser(app)
    thief.http.set_cookie("session", planted, domain="gatehouse.test")
    assert not thief.is_signed_in()


def test_new_sign_in_ends_the_previous_session(client, ada, people, app):
    client.login(ada)
    bob = people.add("bob@example.com")

    assert client.login(bob).status_code == 302

    with app.app_context():
        sessions = db.session.scalars(select(Session).where(Session.user_id == ada.id)).one()
        assert sessions.end_reason == "signed_in_again"


def test_cookie_ends_with_the_browser_unless_remembered(client, ada):
    client.login(ada)
    assert client.cookie("session").expires is None

    client.login(ada, remember="y")
    assert client.cookie("session").expires is not None


def test_cookies_are_same_site_and_http_only(client, ada):
    answer = client.login(ada)

    for cookie in answer.headers.getlist("Set-Cookie"):
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert "Path=/" in cookie
        assert "Domain" not in cookie


@pytest.mark.settings(base_url="https://gatehouse.test")
def test_https_cookies_are_host_bound_and_secure(client, ada):
    answer = client.login(ada)

    cookies = answer.headers.getlist("Set-Cookie")
    assert sorted(cookie.partition("=")[0] for cookie in cookies) == ["__Host-device", "__Host-session"]
    for cookie in cookies:
        assert "Secure" in cookie
        assert "Path=/" in cookie
        assert "Domain" not in cookie
    assert client.is_signed_in()


def test_forged_cookie_is_ignored(client, ada, app):
    client.login(ada)
    value = client.cookie("session").value
    for forged in ("", "x", value[:-1], value[::-1], f"{value}x", "\x00"):
        stranger = Browser(app)
        stranger.http.set_cookie("session", forged, domain="gatehouse.test")
        assert not stranger.is_signed_in()


def test_cookie_of_another_library_is_ignored(client, ada):
    client.http.set_cookie("remember_token", "1|forged", domain="gatehouse.test")
    assert not client.is_signed_in()

    client.login(ada)
    assert client.is_signed_in()


def test_outdated_hash_is_replaced_at_sign_in(client, ada, make_app):
    stronger = Browser(make_app(argon2_time_cost=2))

    stronger.login(ada)

    with client.app.app_context():
        hashed = db.session.get(User, ada.id).hashed_password
    assert extract_parameters(hashed).time_cost == 2
    assert client.login(ada).status_code == 302


def test_account_without_a_password_cannot_sign_in_with_one(client, app, ada):
    with app.app_context(), unit_of_work() as work:
        work.users.get(ada.id).hashed_password = None

    assert client.login(ada).status_code == 422
    assert client.login(ada, "").status_code == 422


# ── signing out ──


def test_old_cookie_is_invalid_after_sign_out(signed_in, app):
    stolen = signed_in.cookie("session").value

    answer = signed_in.logout()

    assert (answer.status_code, answer.location) == (302, "/auth/login")
    assert "storage" in answer.headers["Clear-Site-Data"]
    assert "You're signed out." in signed_in.page("/auth/login").text("main")
    thief = Browser(app)
    thief.http.set_cookie("session", stolen, domain="gatehouse.test")
    assert not thief.is_signed_in()


def test_sign_out_requires_a_post_with_a_token(signed_in):
    assert signed_in.get("/auth/logout").status_code == 405
    assert signed_in.send("POST", "/auth/logout").status_code == 400
    assert signed_in.is_signed_in()


def test_signing_out_twice_is_no_error(signed_in):
    signed_in.logout()

    again = signed_in.send("POST", "/auth/logout", data={"csrf_token": signed_in.token()})
    assert again.status_code == 302


def test_old_page_can_still_sign_out(signed_in, ada, clock, settings):
    page_of_yesterday = signed_in.token_on("/account")
    for how in ({"data": {"csrf_token": page_of_yesterday}}, {"headers": {"Origin": settings.public_url}}):
        assert signed_in.login(ada).status_code == 302
        assert signed_in.send("POST", "/auth/logout", **how).status_code == 302
        assert not signed_in.is_signed_in()


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.test"}, {"Sec-Fetch-Site": "cross-site"}])
def test_another_site_cannot_sign_a_user_out(signed_in, headers):
    answer = signed_in.send(
        "POST", "/auth/logout", data={"csrf_token": signed_in.token_on("/account")}, headers=headers
    )

    assert answer.status_code == 400
    assert signed_in.is_signed_in()


def test_reset_skips_the_delay_for_the_owner(client, new_browser, ada, mailbox):
    for _ in range(6):
        client.login(ada.email, WRONG)
    owner = new_browser()
    owner.reset_password(mailbox.link_from(owner.forgot_password(ada.email)), "another fine harbour")

    assert owner.login(ada.email, "another fine harbour").status_code == 302


@pytest.mark.parametrize(
    "target",
    ["//evil.test", "////evil.test", "/\t/evil.test", "/\\evil.test", "https://evil.test", "javascript:alert(1)",
     "/\r\nX: y", "/%0d%0aX:y", "http:evil.test", "/account@evil.test", "/static/gatehouse.css", "/nowhere", "x" * 9000],
)  # fmt: skip
@pytest.mark.databases("sqlite")
def test_sign_in_redirects_only_to_this_site(client, ada, target):
    assert client.login(ada, next=target).location == "/account"


@pytest.mark.databases("sqlite")
@pytest.mark.settings(limit_scale=1, limit_login="2 per minute", redis_url="redis://127.0.0.1:1/0")
def test_limits_work_without_the_queue(client):
    answers = [client.login(f"nobody{n}@example.com", WRONG).status_code for n in range(4)]

    assert 429 in answers


@pytest.mark.databases("sqlite")
@pytest.mark.settings(redis_url="redis://127.0.0.1:1/0")
def test_sign_up_and_sign_in_work_without_the_queue_and_jobs_wait(client, ada, mailbox):
    assert client.login(ada).status_code == 302
    assert client.logout().status_code == 302
    link = mailbox.link_from(client.register("new@example.com"))

    assert client.verify_email(link).status_code == 302


@pytest.mark.databases("sqlite")
@pytest.mark.settings(limit_scale=1, limit_login="3 per minute")
def test_attempts_per_network_are_limited(client, new_browser):
    answers = [client.login(f"nobody{n}@example.com", WRONG) for n in range(4)]

    assert [answer.status_code for answer in answers] == [422, 422, 422, 429]
    assert int(answers[-1].headers["Retry-After"]) > 0
    assert new_browser(address="198.51.100.1").login("x@example.com", WRONG).status_code == 422


@pytest.mark.databases("sqlite")
@pytest.mark.settings(limit_scale=1, limit_login="3 per minute")
def test_clients_of_a_unix_socket_are_counted_too(new_browser):
    nobody = new_browser(address="")
    answers = [nobody.login(f"nobody{n}@example.com", WRONG).status_code for n in range(4)]

    assert answers == [422, 422, 422, 429]


def test_unrelated_cookies_do_not_sign_out(app, ada):
    browser = Browser(app)
    browser.login(ada)
    for name in ("flask-login-is-not-asked", "remember_token", app.config["REMEMBER_COOKIE_NAME"]):
        sent = browser.get("/account", headers={"Cookie": f"session={browser.cookie('session').value}; {name}=x"})
        assert sent.status_code == 200, name
