"""Sign-up and confirmation, through the pages."""

from __future__ import annotations

import pytest

PASSWORD = "a quieter harbour"


def test_somebody_signs_up_confirms_and_signs_in(client, mailbox):
    answer = client.register("ada@example.com")
    assert answer.status_code == 303

    confirmed = client.verify_email(mailbox.link_from(answer))

    assert confirmed.status_code == 302
    assert confirmed.location == "/auth/login"
    assert client.login("ada@example.com", PASSWORD).location == "/account"
    assert client.get("/").location == "/account"


def test_the_address_is_the_same_however_it_is_written(client, mailbox):
    client.verify_email(mailbox.link_from(client.register("  Ada@EXAMPLE.com ")))

    assert client.login("ada@example.com", PASSWORD).status_code == 302


def test_a_known_and_an_unknown_address_get_the_same_answer(client, new_browser, ada, mailbox):
    known, unknown = new_browser().register(ada.email), new_browser().register("nobody@example.com")

    assert known.status_code == unknown.status_code == 303
    assert known.location == unknown.location
    assert [name for name, _ in known.headers] == [name for name, _ in unknown.headers]
    assert len(known.headers["Set-Cookie"]) == len(unknown.headers["Set-Cookie"])


def test_an_owner_who_registers_again_is_told_by_mail_and_nothing_changes(client, ada, mailbox):
    client.register(ada.email, password="another fine harbour")

    assert mailbox.last_to(ada.email).subject.startswith("You already have an account")
    assert client.login(ada.email, "another fine harbour").status_code == 422
    assert client.login(ada).status_code == 302


def test_looking_at_the_link_spends_nothing_and_takes_the_token_out_of_the_address(client, mailbox):
    link = mailbox.link_from(client.register("ada@example.com"))

    for _ in range(3):
        opened = client.get(link)
        assert opened.status_code == 303
        assert opened.location == "/auth/verify-email"
        assert opened.headers["Referrer-Policy"] == "no-referrer"
        assert client.get("/auth/verify-email").status_code == 200

    assert client.verify_email(link).status_code == 302
    assert client.get(link).status_code == 410
    assert client.get("/auth/verify-email").status_code == 410


def test_another_browser_is_asked_for_the_password_that_was_chosen(client, new_browser, mailbox):
    link = mailbox.link_from(client.register("ada@example.com"))
    other = new_browser()

    assert other.verify_email(link, password="not this one at all").status_code == 422
    assert other.verify_email(link).status_code == 422
    assert other.verify_email(link, password=PASSWORD).status_code == 302


def test_an_account_that_a_stranger_prepared_is_not_confirmed_by_its_victim(client, new_browser, mailbox):
    """Somebody registers my address after me; my browser must not confirm their password."""
    mine = mailbox.link_from(client.register("ada@example.com"))
    new_browser().register("ada@example.com", password="the strangers password")

    assert client.get(mine).status_code == 410
    theirs = mailbox.last_to("ada@example.com").link
    assert client.verify_email(theirs).status_code == 422
    assert client.verify_email(theirs, password=PASSWORD).status_code == 422


def test_signing_up_again_before_confirming_starts_anew(client, mailbox):
    first = mailbox.link_from(client.register("ada@example.com", password="the first harbour wall"))
    second = mailbox.link_from(client.register("ada@example.com", password="the second harbour wall"))

    assert client.get(first).status_code == 410
    assert client.verify_email(second).status_code == 302
    assert client.login("ada@example.com", "the first harbour wall").status_code == 422
    assert client.login("ada@example.com", "the second harbour wall").status_code == 302


def test_a_right_password_is_told_that_the_address_wants_confirming_and_a_wrong_one_is_not(client, mailbox):
    client.register("ada@example.com")

    right = client.login("ada@example.com", PASSWORD)
    wrong = client.login("ada@example.com", "something else entirely")

    assert right.status_code == wrong.status_code == 422
    assert "Confirm your address first" in right.text
    assert "Confirm your" not in wrong.text
    assert not client.is_signed_in()


def test_the_link_is_sent_again_on_request_and_only_the_newest_works(client, mailbox):
    first = mailbox.link_from(client.register("ada@example.com"))
    second = mailbox.link_from(client.resend_verification("ada@example.com"))

    assert first != second
    assert client.get(first).status_code == 410
    assert client.verify_email(second).status_code == 302


def test_nothing_is_sent_again_to_a_confirmed_or_an_unknown_address(client, ada, mailbox):
    known, unknown = client.resend_verification(ada.email), client.resend_verification("nobody@example.com")

    assert known.location == unknown.location
    assert mailbox.all() == []


def test_a_link_dies_with_its_hours(client, mailbox, clock):
    link = mailbox.link_from(client.register("ada@example.com"))
    clock.advance(hours=24)

    dead = client.get(link)

    assert dead.status_code == 410
    assert "Ask for a new link" in dead.text


def test_an_account_that_was_never_confirmed_is_purged(client, mailbox, clock, flask):
    client.register("ada@example.com")
    mailbox.all()
    clock.advance(days=7, seconds=1)
    assert flask("jobs", "schedule", "--once").exit_code == 0
    mailbox.all()

    assert flask("users", "show", "ada@example.com").exit_code == 1


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("email", "", "Enter your email address"),
        ("email", "not an address", "like name@example.com"),
        ("email", "ada@", "like name@example.com"),
        ("email", "ada@nowhere", "like name@example.com"),
        ("email", "a" * 300 + "@example.com", "like name@example.com"),
        ("email", "ada\r\nBcc: eve@example.com", "like name@example.com"),
        ("email", "ada\x00@example.com", "control characters"),
        ("name", "x" * 101, "at most 100"),
        ("name", "Ada\nLovelace", "Leave out"),
        ("name", "Ada\u202eecalevoL", "Leave out"),
        ("password", "", "Choose a password"),
        ("password", "short", "at least 12"),
        ("password", "x" * 257, "at most 256"),
        ("password", "password1234", "common"),
        ("password", "ada.lovelace1", "few words"),
        ("password", "gatehouse gatehouse", "do not belong together"),
    ],
)
@pytest.mark.databases("sqlite")
def test_a_refused_form_says_what_to_do_and_keeps_what_was_typed(client, field, value, says):
    typed = {"email": "ada.lovelace@example.com", "name": "Ada Lovelace", "password": PASSWORD} | {field: value}

    answer = client.post("/auth/register", typed)

    assert answer.status_code == 422
    assert says in answer.text
    assert "ada.lovelace@example.com" in answer.text or field == "email"
    assert PASSWORD not in answer.text


@pytest.mark.databases("sqlite")
def test_a_field_sent_twice_is_refused(client):
    answer = client.post("/auth/register", {"email": ["a@example.com", "b@example.com"], "password": PASSWORD})

    assert answer.status_code == 422
    assert "Send this once" in answer.text


@pytest.mark.databases("sqlite")
def test_a_body_of_ten_megabytes_is_too_large(client):
    assert client.post("/auth/register", {"name": "x" * 10_000_000}).status_code == 413


@pytest.mark.databases("sqlite")
@pytest.mark.settings(registration="closed")
def test_closed_registration_shows_no_form_and_takes_none(client, mailbox):
    assert "password" not in client.get("/auth/register").text

    client.register("ada@example.com")

    assert mailbox.all() == []


@pytest.mark.databases("sqlite")
def test_the_strength_meter_answers_and_needs_its_token(client):
    token = client.token()

    weak = client.send("POST", "/auth/password-strength", data={"password": "password1234", "csrf_token": token})
    strong = client.send("POST", "/auth/password-strength", data={"password": PASSWORD}, headers={"X-CSRFToken": token})
    refused = client.send("POST", "/auth/password-strength", data={"password": PASSWORD})

    assert weak.json["score"] < 3
    assert weak.json["advice"]
    assert strong.json == {"score": 4, "advice": ""}
    assert refused.status_code == 400
