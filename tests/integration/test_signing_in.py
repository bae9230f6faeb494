"""Sign-in, sign-out, sessions and what slows guessers down."""

from __future__ import annotations

import pytest

from app.models import User
from app.unit_of_work import reading
from tests.support.browser import Browser

WRONG = "not the password at all"


def test_nothing_tells_an_unknown_address_from_a_wrong_password(client, ada):
    unknown, wrong = client.login("nobody@example.com", WRONG), client.login(ada.email, WRONG)

    assert unknown.status_code == wrong.status_code == 422
    assert unknown.text.replace("nobody@example.com", "") != ""
    assert "Wrong email address or password" in unknown.text
    assert "Wrong email address or password" in wrong.text
    assert [name for name, _ in unknown.headers] == [name for name, _ in wrong.headers]


def test_a_deactivated_account_answers_like_a_wrong_password(client, ada, flask):
    flask("users", "deactivate", ada.email, "--reason", "left")

    assert "Wrong email address or password" in client.login(ada).text


def test_strangers_wait_longer_and_longer_and_a_known_browser_does_not(client, new_browser, ada, clock):
    client.login(ada)
    client.logout()
    stranger = new_browser(address="198.51.100.9")
    answers = [stranger.login(ada.email, WRONG) for _ in range(6)]

    assert [answer.status_code for answer in answers] == [422, 422, 422, 422, 422, 429]
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert stranger.login(ada).status_code == 429
    assert client.login(ada).status_code == 302

    clock.advance(seconds=1)
    assert stranger.login(ada.email, WRONG).status_code == 422
    assert int(stranger.login(ada.email, WRONG).headers["Retry-After"]) == 2


def test_an_unknown_address_is_slowed_just_the_same(client):
    answers = [client.login("nobody@example.com", WRONG).status_code for _ in range(6)]

    assert answers == [422, 422, 422, 422, 422, 429]


def test_the_success_of_one_does_not_clear_the_count_of_another(client, new_browser, ada, people):
    eve = people.add("eve@example.com")
    for _ in range(4):
        client.login(ada.email, WRONG)
    assert client.login(eve).status_code == 302
    client.logout()

    assert client.login(ada.email, WRONG).status_code == 422
    assert client.login(ada.email, WRONG).status_code == 429


def test_the_owner_is_told_of_many_wrong_passwords_once(client, ada, mailbox, clock):
    for _ in range(14):
        client.login(ada.email, WRONG)
        clock.advance(minutes=20)

    told = [mail for mail in mailbox.to(ada.email) if "Wrong passwords" in mail.subject]
    assert len(told) == 1


def test_a_reset_lets_the_owner_in_past_the_delay(client, new_browser, ada, mailbox):
    for _ in range(6):
        client.login(ada.email, WRONG)
    owner = new_browser()
    owner.reset_password(mailbox.link_from(owner.forgot_password(ada.email)), "another fine harbour")

    assert owner.login(ada.email, "another fine harbour").status_code == 302


def test_a_hash_made_with_lesser_parameters_is_renewed_at_sign_in(make_app, ada):
    stronger = make_app(argon2_time_cost=2)
    assert Browser(stronger).login(ada).status_code == 302
    with stronger.app_context():
        assert "t=2" in reading().session.get(User, ada.id).hashed_password
    assert Browser(stronger).login(ada).status_code == 302


@pytest.mark.parametrize("target", ["/account/sessions", "/users?q=ada"])
@pytest.mark.databases("sqlite")
def test_sign_in_goes_on_to_where_one_was_going(client, ada, target):
    asked = client.get(target)

    assert asked.status_code == 302
    assert asked.location.startswith("/auth/login?next=")
    assert client.login(ada, next=target).location == target


@pytest.mark.parametrize(
    "target",
    ["//evil.test", "////evil.test", "/\t/evil.test", "/\\evil.test", "https://evil.test", "javascript:alert(1)",
     "/\r\nX: y", "/%0d%0aX:y", "http:evil.test", "/account@evil.test", "/static/gatehouse.css", "/nowhere", "x" * 9000],
)  # fmt: skip
@pytest.mark.databases("sqlite")
def test_sign_in_goes_nowhere_else(client, ada, target):
    assert client.login(ada, next=target).location == "/account"


def test_signing_out_ends_the_session_on_the_server(client, new_browser, ada):
    client.login(ada)
    stolen = client.cookie("session").value
    assert client.send("GET", "/auth/logout").status_code == 405
    out = client.logout()

    assert out.status_code == 302
    assert "Clear-Site-Data" in out.headers
    thief = new_browser()
    thief.http.set_cookie("session", stolen, domain="gatehouse.test")
    assert not thief.is_signed_in()


def test_the_session_changes_at_sign_in_and_the_one_before_is_dead(client, new_browser, ada):
    client.get("/auth/login")
    before = client.cookie("session").value
    client.login(ada)
    first = client.cookie("session").value
    client.login(ada)

    assert len({before, first, client.cookie("session").value}) == 3
    thief = new_browser()
    thief.http.set_cookie("session", first, domain="gatehouse.test")
    assert not thief.is_signed_in()


def test_a_session_ends_when_nobody_uses_it(client, ada, clock):
    client.login(ada)
    for _ in range(3):
        clock.advance(hours=11)
        assert client.is_signed_in()
    clock.advance(hours=12, seconds=1)

    assert not client.is_signed_in()


def test_a_session_ends_at_last_however_much_it_is_used(client, ada, clock):
    client.login(ada)
    for _ in range(24):
        clock.advance(hours=7)
        signed_in = client.is_signed_in()

    assert not signed_in


def test_a_remembered_session_lasts_longer_and_its_cookie_outlives_the_browser(client, new_browser, ada, clock):
    other = new_browser()
    client.login(ada, remember="y")
    other.login(ada)
    clock.advance(days=20)

    assert client.cookie("session").max_age or client.cookie("session").expires
    assert client.is_signed_in()
    assert not other.is_signed_in()


def test_a_new_device_is_told_to_the_owner_and_the_first_one_is_not(client, new_browser, ada, mailbox):
    client.login(ada)
    assert mailbox.all() == []
    new_browser(user_agent="Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0").login(
        ada
    )

    mail = mailbox.last_to(ada.email)
    assert mail.subject.startswith("New sign-in")
    assert "Firefox on Windows" in mail.text


def test_ending_a_session_counts_on_the_next_request(client, new_browser, ada):
    client.login(ada)
    other = new_browser()
    other.login(ada)
    page = client.page("/account/sessions")
    ends = {form.attrs["action"] for form in page.find_all('main form[action*="/end"]')} - {
        "/account/sessions/end-others"
    }
    theirs = max(ends)

    assert client.post(theirs, page="/account/sessions").status_code == 302
    assert client.is_signed_in()
    assert not other.is_signed_in()


def test_all_other_sessions_end_at_once(client, new_browser, ada):
    others = [new_browser() for _ in range(3)]
    for browser in (*others, client):
        browser.login(ada)

    assert client.post("/account/sessions/end-others", page="/account/sessions").status_code == 302
    assert client.is_signed_in()
    assert not any(other.is_signed_in() for other in others)


def test_nobody_ends_the_session_of_somebody_else(client, new_browser, ada, people):
    people.add("eve@example.com")
    client.login(ada)
    eve = new_browser()
    eve.login("eve@example.com", "a quieter harbour")

    eve.post("/account/sessions/1/end", page="/account/sessions")

    assert client.is_signed_in()
    assert eve.post(f"/account/sessions/{2**70}/end", page="/account/sessions").status_code == 404


@pytest.mark.databases("sqlite")
@pytest.mark.settings(limit_scale=1, limit_login="3 per minute")
def test_one_network_may_only_try_so_often(client, new_browser):
    answers = [client.login(f"nobody{n}@example.com", WRONG) for n in range(4)]

    assert [answer.status_code for answer in answers] == [422, 422, 422, 429]
    assert int(answers[-1].headers["Retry-After"]) > 0
    assert new_browser(address="198.51.100.1").login("x@example.com", WRONG).status_code == 422


@pytest.mark.databases("sqlite")
@pytest.mark.settings(limit_scale=1, limit_login="2 per minute", redis_url="redis://127.0.0.1:1/0")
def test_limits_hold_without_the_queue(client):
    answers = [client.login(f"nobody{n}@example.com", WRONG).status_code for n in range(4)]

    assert 429 in answers


@pytest.mark.databases("sqlite")
@pytest.mark.settings(redis_url="redis://127.0.0.1:1/0")
def test_people_sign_up_and_in_without_the_queue_and_jobs_wait(client, ada, mailbox):
    assert client.login(ada).status_code == 302
    assert client.logout().status_code == 302
    link = mailbox.link_from(client.register("new@example.com"))

    assert client.verify_email(link).status_code == 302
