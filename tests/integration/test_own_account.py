"""One's own account: profile, password, address, confirmation, activity, reset."""

from __future__ import annotations

import io

import pytest

NEW = "another fine harbour"
WRONG = "not the password at all"


def test_the_name_is_saved_as_it_is_written(signed_in):
    for name in ("Ada King", "<svg onload=1>", "{{7*7}} ${7*7}", "%(x)s {0.__class__}", ""):
        assert signed_in.post("/account", {"name": name}).status_code == 302
        assert signed_in.page("/account").value("name") == name


def test_a_new_password_wants_the_present_one_and_ends_the_other_sessions(signed_in, new_browser, ada, mailbox):
    other = new_browser()
    other.login(ada)
    before = signed_in.cookie("session").value

    refused = signed_in.post("/account/password", {"current_password": WRONG, "password": NEW})
    assert refused.status_code == 422
    assert "not your present password" in refused.text
    assert (
        signed_in.post("/account/password", {"current_password": ada.password, "password": "short"}).status_code == 422
    )
    assert signed_in.post("/account/password", {"current_password": ada.password, "password": NEW}).status_code == 302

    assert signed_in.is_signed_in()
    assert not other.is_signed_in()
    assert mailbox.last_to(ada.email).subject.endswith("was changed")
    thief = new_browser()
    thief.http.set_cookie("session", before, domain="gatehouse.test")
    assert not thief.is_signed_in()
    assert new_browser().login(ada.email, NEW).status_code == 302


def test_the_present_password_cannot_be_guessed_for_ever(signed_in):
    answers = [
        signed_in.post("/account/password", {"current_password": WRONG, "password": NEW}).status_code for _ in range(6)
    ]

    assert answers[-1] == 429


def test_the_address_changes_when_the_new_one_confirms(signed_in, new_browser, ada, mailbox):
    assert signed_in.post("/account/email", {"email": "ada@new.example"}).status_code == 302
    assert "ada@new.example" in signed_in.get("/account/email").text
    link = mailbox.last_to("ada@new.example").link
    assert "about to change" in mailbox.last_to(ada.email).subject

    stranger = new_browser()
    assert stranger.open_and_send(link).status_code == 422
    assert stranger.open_and_send(link, {"password": WRONG}).status_code == 422
    assert signed_in.open_and_send(link).status_code == 302

    assert "ada@new.example" in signed_in.get("/account").text
    assert "has changed" in mailbox.last_to(ada.email).subject
    assert new_browser().login("ada@new.example", ada.password).status_code == 302
    assert new_browser().login(ada).status_code == 422


def test_the_old_address_undoes_the_change_and_ends_every_session(signed_in, new_browser, ada, mailbox):
    signed_in.post("/account/email", {"email": "eve@evil.example"})
    thief = new_browser()
    thief.open_and_send(mailbox.last_to("eve@evil.example").link, {"password": ada.password})
    first, second = (mail.link for mail in mailbox.to(ada.email))
    assert first == second

    assert new_browser().open_and_send(second).status_code == 302

    assert not signed_in.is_signed_in()
    assert new_browser().get(first).status_code == 410
    assert thief.login(ada).status_code == 422, "the password that the thief knew is gone"
    owner = new_browser()
    owner.reset_password(mailbox.link_from(owner.forgot_password(ada.email)), NEW)
    assert owner.login(ada.email, NEW).status_code == 302


def test_the_old_address_can_say_no_before_the_new_one_confirms(signed_in, new_browser, ada, mailbox):
    signed_in.post("/account/email", {"email": "eve@evil.example"})
    change = mailbox.last_to("eve@evil.example").link

    assert new_browser().open_and_send(mailbox.last_to(ada.email).link).status_code == 302

    assert new_browser().get(change).status_code == 410
    assert not signed_in.is_signed_in()


def test_a_taken_address_looks_like_any_other_and_is_not_taken_over(signed_in, people, mailbox):
    people.add("grace@example.com")

    assert signed_in.post("/account/email", {"email": "grace@example.com"}).status_code == 302
    assert mailbox.to("grace@example.com") == []


def test_an_address_that_was_taken_meanwhile_is_refused_with_a_word(signed_in, people, mailbox):
    signed_in.post("/account/email", {"email": "ada@new.example"})
    link = mailbox.last_to("ada@new.example").link
    people.add("ada@new.example")

    answer = signed_in.open_and_send(link)

    assert answer.status_code == 422
    assert "belongs to another account" in answer.text


def test_an_address_that_somebody_only_typed_is_still_free(signed_in, new_browser, mailbox):
    new_browser().register("ada@new.example")
    mailbox.all()
    signed_in.post("/account/email", {"email": "ada@new.example"})

    assert signed_in.open_and_send(mailbox.last_to("ada@new.example").link).status_code == 302


def test_a_victim_is_not_talked_into_confirming_the_account_of_a_stranger(signed_in, new_browser, people, mailbox):
    """The thief asks for my address; I am signed in to my own account, or to none, when I press the button."""
    people.add("victim@example.com")
    victim = new_browser()
    victim.login("victim@example.com", "a quieter harbour")
    signed_in.post("/account/email", {"email": "me@new.example"})
    link = mailbox.last_to("me@new.example").link

    assert victim.open_and_send(link).status_code == 422
    assert new_browser().open_and_send(link).status_code == 422


@pytest.mark.parametrize("safer", ["change", "reset", "operator", "deactivate"])
def test_whatever_makes_the_account_safer_ends_a_waiting_change_of_address(
    signed_in, new_browser, ada, mailbox, flask, safer
):
    """Also one whose mail has not gone out yet."""
    signed_in.post("/account/email", {"email": "eve@evil.example"})
    if safer == "change":
        signed_in.post("/account/password", {"current_password": ada.password, "password": NEW})
    elif safer == "reset":
        link = flask("users", "link", ada.email).stdout.strip()
        assert new_browser().reset_password(link, NEW).status_code == 302
    elif safer == "operator":
        flask("users", "edit", ada.email, "--password-stdin", typed=f"{NEW}\n")
    else:
        flask("users", "deactivate", ada.email, "--reason", "stolen")

    assert mailbox.to("eve@evil.example") == []


def test_one_address_is_sent_only_so_many_mails_and_the_last_one_works(client, ada, mailbox):
    answers = [client.forgot_password(ada.email) for _ in range(8)]

    assert {answer.status_code for answer in answers} == {303}
    mails = mailbox.to(ada.email)
    assert len(mails) == 5
    assert client.reset_password(mails[-1].link, NEW).status_code == 302


def test_a_file_in_the_place_of_a_field_is_refused(client):
    data = {"csrf_token": client.token(), "email": (io.BytesIO(b"x"), "x.txt")}

    assert client.send("POST", "/auth/forgot-password", data=data).status_code == 422


def test_a_pending_change_is_cancelled(signed_in, new_browser, mailbox):
    signed_in.post("/account/email", {"email": "ada@new.example"})
    link = mailbox.last_to("ada@new.example").link

    assert signed_in.post("/account/email/cancel", page="/account/email").status_code == 302
    assert new_browser().get(link).status_code == 410


def test_the_same_address_is_refused(signed_in, ada):
    assert signed_in.post("/account/email", {"email": ada.email.upper()}).status_code == 422


def test_what_could_do_harm_asks_again_after_ten_minutes(signed_in, ada, clock):
    assert signed_in.get("/account/email").status_code == 200
    clock.advance(minutes=10)
    asked = signed_in.get("/account/email")
    assert asked.status_code == 302
    assert asked.location == "/auth/confirm?next=/account/email"
    assert signed_in.post("/account/email", {"email": "x@example.com"}, page="/account").location.startswith(
        "/auth/confirm"
    )
    assert signed_in.post("/account/sessions/end-others", page="/account").location.startswith("/auth/confirm")
    before = signed_in.cookie("session").value

    assert signed_in.confirm(WRONG).status_code == 422
    done = signed_in.post("/auth/confirm", {"password": ada.password, "next": "/account/email"})

    assert done.location == "/account/email"
    assert signed_in.cookie("session").value != before
    assert signed_in.get("/account/email").status_code == 200


def test_an_expired_token_never_skips_the_confirmation(signed_in, clock):
    clock.advance(minutes=10)

    answer = signed_in.send("POST", "/account/email", data={"email": "x@example.com"})

    assert answer.status_code == 302
    assert answer.location.startswith("/auth/confirm")


def test_a_reset_link_works_once(client, ada, mailbox):
    link = mailbox.link_from(client.forgot_password(ada.email))

    assert client.reset_password(link, NEW).status_code == 302
    assert client.reset_password(link, NEW + " two").status_code == 410


def test_a_reset_ends_every_session_signs_nobody_in_and_tells_the_owner(signed_in, new_browser, ada, mailbox):
    browser = new_browser()
    link = mailbox.link_from(browser.forgot_password(ada.email))

    assert browser.reset_password(link, "short").status_code == 422
    assert browser.reset_password(link, NEW).status_code == 302

    assert not signed_in.is_signed_in()
    assert not browser.is_signed_in()
    assert "was changed" in mailbox.last_to(ada.email).subject
    assert browser.login(ada).status_code == 422
    assert browser.login(ada.email, NEW).status_code == 302


def test_forgot_says_the_same_to_everybody_and_mails_only_those_it_knows(client, ada, mailbox):
    known, unknown = client.forgot_password(ada.email), client.forgot_password("nobody@example.com")

    assert (known.status_code, known.location) == (unknown.status_code, unknown.location)
    assert [mail.to for mail in mailbox.all()] == [ada.email]


def test_a_deactivated_account_gets_no_reset(client, ada, mailbox, flask):
    flask("users", "deactivate", ada.email, "--reason", "left")
    client.forgot_password(ada.email)

    assert [mail.subject for mail in mailbox.all() if "Reset" in mail.subject] == []


def test_a_reset_confirms_the_address_it_went_to(client, mailbox):
    client.register("ada@example.com")
    mailbox.all()
    client.reset_password(mailbox.link_from(client.forgot_password("ada@example.com")), NEW)

    assert client.login("ada@example.com", NEW).status_code == 302


def test_a_link_for_one_thing_is_garbage_for_another(client, ada, mailbox):
    reset = mailbox.link_from(client.forgot_password(ada.email)).rsplit("/", 1)[1]

    for path in ("verify-email", "confirm-email-change", "undo-email-change"):
        assert client.get(f"/auth/{path}/{reset}").status_code == 410
    assert client.get("/auth/reset-password").status_code == 410


def test_activity_tells_ones_own_story_page_by_page(signed_in, ada):
    for number in range(30):
        signed_in.post("/account", {"name": f"Ada {number}"})

    page = signed_in.page("/account/activity")
    assert "The name changed from “Ada 28” to “Ada 29”." in page.html
    (older,) = {a.attrs["href"] for a in page.find_all('a[href*="before="]')}
    assert "Signed in." in signed_in.page(older).html
    assert signed_in.get("/account/activity?before=99999999999999999999999").status_code == 200


@pytest.mark.databases("sqlite")
def test_every_page_of_the_account_is_personal_and_not_kept(signed_in):
    for path in ("/account", "/account/email", "/account/password", "/account/sessions", "/account/activity"):
        answer = signed_in.get(path)
        assert answer.status_code == 200
        assert answer.headers["Cache-Control"] == "no-store"
