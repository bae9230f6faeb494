"""Password reset: reveals nothing to strangers, and ends all earlier access."""

import pytest

from tests.support.pages import Page

NEW = "a louder harbour today"


def test_reset_link_works_once(client, ada, mailbox):
    link = mailbox.link_from(client.forgot_password(ada.email))

    assert client.reset_password(link, NEW).status_code == 302
    assert client.reset_password(link, "another harbour entirely").status_code == 410


def test_new_password_works_after_a_reset_and_the_old_one_does_not(client, ada, mailbox):
    answer = client.reset_password(mailbox.link_from(client.forgot_password(ada.email)), NEW)

    assert answer.location == "/auth/login"
    assert not client.is_signed_in()
    assert client.login(ada).status_code == 422
    assert client.login(ada, NEW).status_code == 302


def test_reset_request_response_is_the_same_for_unknown_addresses(client, new_browser, people, flask):
    known, gone = people.add("known@example.com"), people.add("gone@example.com")
    flask("users", "deactivate", gone.email, "--reason", "left")
    client.register("new@example.com")

    answers = []
    for email in (known.email, gone.email, "new@example.com", "nobody@example.com"):
        browser = new_browser()
        answer = browser.forgot_password(email)
        headers = {name: value for name, value in answer.headers if name not in {"X-Request-ID", "Set-Cookie"}}
        cookies = [value.partition("=")[0] for value in answer.headers.getlist("Set-Cookie")]
        answers.append((answer.status_code, headers, cookies, browser.page(answer.location).text("main")))

    assert all(answer == answers[0] for answer in answers)


def test_only_active_accounts_get_a_reset_link(client, ada, people, mailbox, flask):
    gone = people.add("gone@example.com")
    flask("users", "deactivate", gone.email, "--reason", "left")
    mailbox.all()
    client.forgot_password(gone.email)
    client.forgot_password("nobody@example.com")
    client.forgot_password(ada.email)

    assert [mail.to for mail in mailbox.all()[1:]] == [ada.email]


def test_reset_revokes_every_session_and_forgets_every_device(client, new_browser, ada, mailbox):
    thief = new_browser()
    thief.login(ada)
    link = mailbox.link_from(client.forgot_password(ada.email))

    client.reset_password(link, NEW)

    assert not thief.is_signed_in()
    stranger = new_browser()
    for _ in range(5):
        stranger.login(ada, "not that harbour")
    assert thief.login(ada, NEW).status_code == 429
    assert client.login(ada, NEW).status_code == 302


def test_reset_invalidates_all_other_links_of_the_account(client, ada, mailbox):
    older = mailbox.link_from(client.forgot_password(ada.email))
    newer = mailbox.link_from(client.forgot_password(ada.email))
    assert client.get(older).status_code == 410

    client.login(ada)
    client.post("/account/email", {"email": "new@example.com"})
    change = mailbox.last_to("new@example.com").link
    client.reset_password(newer, NEW)

    assert client.get(change).status_code == 410


def test_owner_is_notified_of_a_reset_with_a_way_to_act(client, ada, mailbox):
    client.reset_password(mailbox.link_from(client.forgot_password(ada.email)), NEW)

    mail = mailbox.last_to(ada.email)
    assert mail.subject == "Your Gatehouse password was changed"
    assert "Firefox on Linux" in mail.text
    assert "203.0.113.7" in mail.text
    assert "http://gatehouse.test/auth/forgot-password" in mail.links
    assert NEW not in mail.text


def test_reset_confirms_the_address(client, new_browser, mailbox):
    new_browser().register("new@example.com", "a strangers harbour plan")
    link = mailbox.link_from(client.forgot_password("new@example.com"))

    client.reset_password(link, NEW)

    assert client.login("new@example.com", "a strangers harbour plan").status_code == 422
    assert client.login("new@example.com", NEW).status_code == 302


def test_reset_link_expires_after_an_hour(client, ada, mailbox, clock):
    link = mailbox.link_from(client.forgot_password(ada.email))
    clock.advance(minutes=60)

    assert client.get(link).status_code == 410


def test_weak_new_password_does_not_spend_the_link(client, ada, mailbox):
    link = mailbox.link_from(client.forgot_password(ada.email))

    for weak in ("", "short", "adalovelace12"):
        refused = client.reset_password(link, weak)
        assert refused.status_code == 422
        assert Page(refused.text).value("password") == ""
    assert client.reset_password(link, NEW).status_code == 302


def test_reset_page_names_the_account_for_password_managers(client, ada, mailbox):
    link = mailbox.link_from(client.forgot_password(ada.email))

    page = client.page(client.get(link).location)

    assert page.find("#username").attrs["value"] == ada.email
    assert page.find("#password").attrs["autocomplete"] == "new-password"


def test_reset_of_one_account_signs_this_browser_out_of_another(client, ada, people, mailbox):
    bob = people.add("bob@example.com")
    client.login(bob)
    link = mailbox.link_from(client.forgot_password(ada.email))

    client.reset_password(link, NEW)

    assert not client.is_signed_in()


def test_reset_link_of_a_deactivated_account_is_invalid(client, ada, mailbox, flask):
    link = mailbox.link_from(client.forgot_password(ada.email))
    kept = client.get(link).location
    flask("users", "deactivate", ada.email, "--reason", "left")

    assert client.get(link).status_code == 410
    assert client.get(kept).status_code == 410


def test_emails_to_one_address_are_limited_and_the_last_link_works(client, ada, mailbox):
    answers = [client.forgot_password(ada.email) for _ in range(8)]

    assert {answer.status_code for answer in answers} == {303}
    mails = mailbox.to(ada.email)
    assert len(mails) == 5
    assert client.reset_password(mails[-1].link, NEW).status_code == 302


@pytest.mark.own_app
def test_busy_password_hashing_returns_503(client, ada, mailbox, app):
    link = mailbox.link_from(client.forgot_password(ada.email))
    passwords = app.extensions["passwords"]
    passwords._wait = 0
    slots = 0
    while passwords._slots.acquire(blocking=False):
        slots += 1

    refused = client.reset_password(link, NEW)
    assert "We're busy right now" in Page(refused.text).text("main")
    assert "We're busy right now" in Page(client.login(ada).text).text("main")
    assert "We're busy right now" in Page(client.register("new@example.com").text).text("main")

    passwords._slots.release(slots)
    assert client.reset_password(link, NEW).status_code == 302
