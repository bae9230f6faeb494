"""Email changes: confirmed at the new address, announced to the old one, undone from there."""

import pytest

from tests.support.authenticator import set_up

NEW = "another fine harbour"
WRONG = "not the password at all"


def test_email_changes_when_the_new_address_is_confirmed(signed_in, new_browser, ada, mailbox):
    assert signed_in.post("/account/email", {"email": "ada@new.example"}).status_code == 302
    assert "ada@new.example" in signed_in.get("/account/email").text
    link = mailbox.last_to("ada@new.example").link
    assert "about to change" in mailbox.last_to(ada.email).subject

    stranger = new_browser()
    assert stranger.open_and_send(link).status_code == 422
    assert stranger.open_and_send(link, {"password": WRONG}).status_code == 422
    assert signed_in.open_and_send(link).status_code == 302

    assert "ada@new.example" in signed_in.get("/account").text
    assert "was changed" in mailbox.last_to(ada.email).subject
    assert new_browser().login("ada@new.example", ada.password).status_code == 302
    assert new_browser().login(ada).status_code == 422


def test_email_change_asks_again_for_an_old_confirmation(signed_in, ada, mailbox, clock):
    signed_in.post("/account/email", {"email": "ada@new.example"})
    link = mailbox.last_to("ada@new.example").link
    clock.advance(minutes=11)

    page = signed_in.get(signed_in.get(link).location)
    assert page.location == "/auth/confirm?next=/auth/confirm-email-change"
    answer = signed_in.post(page.location, {"password": ada.password})
    assert answer.location == "/auth/confirm-email-change"
    assert signed_in.post("/auth/confirm-email-change").location == "/account"
    assert "ada@new.example" in signed_in.get("/account").text


def test_email_change_in_another_browser_asks_for_the_second_factor(signed_in, new_browser, ada, mailbox, clock):
    phone, _ = set_up(signed_in, clock)
    signed_in.post("/account/email", {"email": "ada@new.example"})
    link = mailbox.last_to("ada@new.example").link
    other = new_browser()

    page = other.get(other.get(link).location)
    assert page.location == "/auth/login?next=/auth/confirm-email-change"
    answer = other.post("/auth/confirm-email-change", {"password": ada.password}, page="/auth/login")
    assert answer.location == "/auth/login?next=/auth/confirm-email-change"
    assert other.login(ada, next="/auth/confirm-email-change").location == "/auth/two-factor"
    assert other.post("/auth/two-factor", {"code": phone.code()}).location == "/auth/confirm-email-change"
    assert other.post("/auth/confirm-email-change").location == "/account"


def test_old_address_undoes_the_change_and_revokes_every_session(signed_in, new_browser, ada, mailbox):
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


def test_old_address_can_stop_the_change_before_confirmation(signed_in, new_browser, ada, mailbox):
    signed_in.post("/account/email", {"email": "eve@evil.example"})
    change = mailbox.last_to("eve@evil.example").link

    assert new_browser().open_and_send(mailbox.last_to(ada.email).link).status_code == 302

    assert new_browser().get(change).status_code == 410
    assert not signed_in.is_signed_in()


def test_taken_address_looks_like_any_other_and_is_not_taken_over(signed_in, people, mailbox):
    people.add("grace@example.com")

    assert signed_in.post("/account/email", {"email": "grace@example.com"}).status_code == 302
    assert mailbox.to("grace@example.com") == []


def test_address_taken_meanwhile_is_refused_with_an_explanation(signed_in, people, mailbox):
    signed_in.post("/account/email", {"email": "ada@new.example"})
    link = mailbox.last_to("ada@new.example").link
    people.add("ada@new.example")

    answer = signed_in.open_and_send(link)

    assert answer.status_code == 422
    assert "Another account uses this email address" in answer.text


def test_unconfirmed_address_of_another_account_is_available(signed_in, new_browser, mailbox):
    new_browser().register("ada@new.example")
    mailbox.all()
    signed_in.post("/account/email", {"email": "ada@new.example"})

    assert signed_in.open_and_send(mailbox.last_to("ada@new.example").link).status_code == 302


def test_victim_cannot_be_tricked_into_confirming_a_strangers_account(signed_in, new_browser, people, mailbox):
    """The attacker requests a change to the victim's address, and the victim presses the button."""
    people.add("victim@example.com")
    victim = new_browser()
    victim.login("victim@example.com", "a quieter harbour")
    signed_in.post("/account/email", {"email": "me@new.example"})
    link = mailbox.last_to("me@new.example").link

    assert victim.open_and_send(link).status_code == 422
    assert new_browser().open_and_send(link).status_code == 422


@pytest.mark.parametrize("safer", ["change", "reset", "operator", "deactivate"])
def test_security_changes_cancel_a_pending_email_change(signed_in, new_browser, ada, mailbox, flask, safer):
    """Including one whose email was not sent yet."""
    signed_in.post("/account/email", {"email": "eve@evil.example"})
    if safer == "change":
        signed_in.post("/account/password", {"current_password": ada.password, "password": NEW})
    elif safer == "reset":
        link = flask("users", "reset-link", ada.email).stdout.strip()
        assert new_browser().reset_password(link, NEW).status_code == 302
    elif safer == "operator":
        flask("users", "edit", ada.email, "--password-stdin", typed=f"{NEW}\n")
    else:
        flask("users", "deactivate", ada.email, "--reason", "stolen")

    assert mailbox.to("eve@evil.example") == []


def test_pending_email_change_can_be_cancelled(signed_in, new_browser, mailbox):
    signed_in.post("/account/email", {"email": "ada@new.example"})
    link = mailbox.last_to("ada@new.example").link

    assert signed_in.post("/account/email/cancel", page="/account/email").status_code == 302
    assert new_browser().get(link).status_code == 410


def test_same_address_is_refused(signed_in, ada):
    assert signed_in.post("/account/email", {"email": ada.email.upper()}).status_code == 422


def test_first_email_to_the_old_address_explains_how_to_stop_the_change(signed_in, ada, mailbox):
    signed_in.post("/account/email", {"email": "ada@new.example"})

    mail = mailbox.last_to(ada.email)
    assert mail.subject == "Your Gatehouse email address is about to change"
    assert "ada@new.example" in mail.text
    assert mail.link.startswith("http://gatehouse.test/auth/undo-email-change/")
    assert "14 days" in mail.text


def test_newer_email_change_replaces_the_older(signed_in, mailbox):
    signed_in.post("/account/email", {"email": "first@new.example"})
    first = mailbox.last_to("first@new.example").link
    signed_in.post("/account/email", {"email": "second@new.example"})

    assert signed_in.get(first).status_code == 410
    assert "second@new.example" in signed_in.page("/account/email").text("main")
    assert signed_in.open_and_send(mailbox.last_to("second@new.example").link).status_code == 302


def test_confirm_link_expires_after_a_day_and_undo_link_after_two_weeks(signed_in, new_browser, mailbox, clock):
    signed_in.post("/account/email", {"email": "ada@new.example"})
    change, undo = mailbox.last_to("ada@new.example").link, mailbox.last_to("ada@example.com").link

    clock.advance(hours=24)
    assert new_browser().get(change).status_code == 410
    assert new_browser().get(undo).status_code == 303
    clock.advance(days=13)
    assert new_browser().get(undo).status_code == 410


def test_old_reset_link_is_invalid_after_the_change(signed_in, ada, mailbox):
    reset = mailbox.link_from(signed_in.forgot_password(ada.email))
    signed_in.post("/account/email", {"email": "ada@new.example"})
    signed_in.open_and_send(mailbox.last_to("ada@new.example").link)

    assert signed_in.get(reset).status_code == 410


def test_undo_restores_the_old_address_even_if_a_stranger_entered_it(signed_in, new_browser, ada, mailbox):
    signed_in.post("/account/email", {"email": "eve@evil.example"})
    signed_in.open_and_send(mailbox.last_to("eve@evil.example").link)
    undo = mailbox.last_to(ada.email).link
    new_browser().register(ada.email, "the strangers own harbour")
    mailbox.all()

    assert new_browser().open_and_send(undo).status_code == 302

    owner = new_browser()
    owner.reset_password(mailbox.link_from(owner.forgot_password(ada.email)), NEW)
    assert owner.login(ada.email, NEW).status_code == 302


def test_undo_does_not_take_an_address_confirmed_by_another_account(signed_in, new_browser, people, ada, mailbox):
    signed_in.post("/account/email", {"email": "ada@new.example"})
    signed_in.open_and_send(mailbox.last_to("ada@new.example").link)
    undo = mailbox.last_to(ada.email).link
    people.add(ada.email)

    refused = new_browser().open_and_send(undo)

    assert refused.status_code == 422
    assert "Another account uses this email address" in refused.text


def test_wrong_passwords_in_an_email_change_are_slowed_down(signed_in, new_browser, ada, mailbox):
    signed_in.post("/account/email", {"email": "ada@new.example"})
    link, guesser = mailbox.last_to("ada@new.example").link, new_browser()

    statuses = [guesser.open_and_send(link, {"password": f"guess {guess}"}).status_code for guess in range(6)]

    assert statuses == [422] * 5 + [429]
