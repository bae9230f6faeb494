"""Sign-up and confirmation: reveals nothing to strangers and does not trust accounts they prepared."""

import pytest
from sqlalchemy import func, select, update

from app.audit.models import AuditEvent
from app.core.extensions import db
from app.jobs.models import Job
from app.users.models import User
from tests.support.browser import Browser
from tests.support.pages import Page

GOOD = "a quieter harbour"
EMAIL = "ada@example.com"


def find_user(app, email=EMAIL):
    with app.app_context():
        return db.session.scalar(select(User).where(User.email == email))


def count(app, model):
    with app.app_context():
        return db.session.scalar(select(func.count()).select_from(model))


def test_new_user_signs_up_confirms_and_signs_in(client, mailbox, app):
    answer = client.register(EMAIL, GOOD, name="Ada Lovelace")
    assert (answer.status_code, answer.location) == (303, "/auth/check-your-mail")
    assert "sent you a link" in client.page(answer.location).text("main")

    confirmed = client.verify_email(mailbox.link_from())
    assert (confirmed.status_code, confirmed.location) == (302, "/account")
    assert "Email address confirmed. You're signed in." in client.page("/account").text("main")
    assert client.page("/account").value("name") == "Ada Lovelace"
    assert [role.name for role in roles_of(app)] == ["member"]


def roles_of(app):
    with app.app_context():
        return db.session.scalar(select(User).where(User.email == EMAIL)).roles


def test_confirmation_email_links_to_this_site_and_contains_no_user_input(client, mailbox):
    """Otherwise everyone could send texts of their own to another person's address."""
    client.register(EMAIL, GOOD, name="You have won, see evil.example")

    mail = mailbox.last_to(EMAIL)
    assert mail.link.startswith("http://gatehouse.test/auth/verify-email/")
    assert mail.link in mail.html
    assert "24 hours" in mail.text
    assert "evil" not in mail.text + mail.html + mail.subject


def test_name_is_optional(client, mailbox):
    client.verify_email(mailbox.link_from(client.register(EMAIL, GOOD, name="")))

    assert client.page("/account").value("name") == ""


def test_email_link_ignores_the_host_header(new_browser, mailbox):
    link = mailbox.link_from(new_browser(base_url="http://localhost").register(EMAIL, GOOD))

    assert link.startswith("http://gatehouse.test/")


def seen_by_a_stranger(response, browser):
    """Return everything that tells responses apart."""
    headers = {name: value for name, value in response.headers if name not in {"X-Request-ID", "Set-Cookie"}}
    cookies = sorted(value.partition("=")[0] for value in response.headers.getlist("Set-Cookie"))
    page = browser.get(response.location) if response.location else None
    return response.status_code, headers, cookies, response.text, page and Page(page.text).text("main")


@pytest.mark.parametrize("state", ["confirmed", "unconfirmed", "deactivated"])
def test_sign_up_response_is_the_same_for_known_addresses(app, new_browser, people, flask, state):
    if state == "unconfirmed":
        new_browser().register("known@example.com", GOOD)
    else:
        people.add("known@example.com")
        if state == "deactivated":
            assert flask("users", "deactivate", "known@example.com", "--reason", "left").exit_code == 0
    known, unknown = new_browser(), new_browser()

    answers = [
        seen_by_a_stranger(browser.register(email, "another quiet harbour"), browser)
        for browser, email in ((known, "known@example.com"), (unknown, "unknown@example.com"))
    ]

    assert answers[0] == answers[1]


def test_sign_up_writes_the_same_rows_for_known_addresses(app, new_browser, people):
    people.add("known@example.com")

    def written(email):
        before = count(app, AuditEvent), count(app, Job)
        new_browser().register(email, "another quiet harbour")
        return count(app, AuditEvent) - before[0], count(app, Job) - before[1]

    assert written("known@example.com") == written("unknown@example.com") == (1, 1)


def test_sign_up_with_a_registered_address_emails_its_owner(client, ada, mailbox, app):
    before = find_user(app)
    client.register(ada.email, "another quiet harbour", name="Eve")

    mail = mailbox.last_to(ada.email)
    assert mail.subject == "You already have an account with Gatehouse"
    assert "http://gatehouse.test/auth/forgot-password" in mail.links
    after = find_user(app)
    assert (after.name, after.hashed_password, after.updated_at) == (
        before.name,
        before.hashed_password,
        before.updated_at,
    )


def test_sign_up_with_a_deactivated_address_sends_nothing(client, ada, mailbox, flask):
    flask("users", "deactivate", ada.email, "--reason", "left")
    count = len(mailbox.all())

    client.register(ada.email, "another quiet harbour")

    assert len(mailbox.all()) == count


def test_second_sign_up_replaces_the_first_and_its_link(client, new_browser, mailbox):
    first = mailbox.link_from(client.register(EMAIL, "the first quiet harbour"))
    second = mailbox.link_from(new_browser().register(EMAIL, "the second quiet harbour", name="Second"))

    assert client.get(first).status_code == 410
    assert client.verify_email(second, "the second quiet harbour").status_code == 302
    assert client.page("/account").value("name") == "Second"
    assert new_browser().login(EMAIL, "the first quiet harbour").status_code == 422


def test_deactivated_account_is_not_signed_in_by_its_confirmation_link(client, mailbox, app, flask):
    link = mailbox.link_from(client.register(EMAIL, GOOD))
    assert client.get(link).status_code == 303
    with app.app_context():
        db.session.execute(update(User).where(User.email == EMAIL).values(is_active=False))
        db.session.commit()

    assert client.verify_email(link).status_code == 410
    assert not client.is_signed_in()


def test_link_opened_in_another_browser_asks_for_the_password(client, new_browser, mailbox):
    link = mailbox.link_from(client.register(EMAIL, GOOD))
    elsewhere = new_browser()

    page = elsewhere.page(elsewhere.get(link).location)
    assert page.has('input[name="password"]')
    refused = elsewhere.verify_email(link, "not that harbour")
    assert refused.status_code == 422
    assert not elsewhere.is_signed_in()
    assert elsewhere.verify_email(link, GOOD).status_code == 302
    assert elsewhere.is_signed_in()
    assert not client.is_signed_in()


def test_account_prepared_by_a_stranger_is_not_confirmed(client, new_browser, mailbox, app):
    """A stranger signs up with the owner's address; the owner opens the email and presses the button."""
    stranger, owner = client, new_browser()
    link = mailbox.link_from(stranger.register(EMAIL, "the strangers own harbour"))

    assert owner.verify_email(link).status_code == 422
    assert owner.verify_email(link, "the owners own harbour").status_code == 422

    assert not find_user(app).is_verified()
    assert stranger.login(EMAIL, "the strangers own harbour").status_code == 422


def test_strangers_browser_cannot_confirm_the_owners_later_sign_up(client, new_browser, mailbox):
    stranger, owner = client, new_browser()
    mailbox.link_from(stranger.register(EMAIL, "the strangers own harbour"))
    link = mailbox.link_from(owner.register(EMAIL, "the owners own harbour"))

    page = stranger.page(stranger.get(link).location)

    assert page.has('input[name="password"]')
    assert owner.verify_email(link).status_code == 302


def test_opening_a_link_spends_nothing_and_removes_the_token_from_the_url(client, mailbox):
    link = mailbox.link_from(client.register(EMAIL, GOOD))

    for _ in range(3):
        opened = client.get(link)
        assert (opened.status_code, opened.location) == (303, "/auth/verify-email")
        assert opened.headers["Referrer-Policy"] == "no-referrer"
        assert opened.headers["Cache-Control"] == "no-store"
        assert client.get(opened.location).status_code == 200
    assert client.verify_email(link).status_code == 302


def test_mail_scanner_that_opens_links_confirms_nothing(client, new_browser, mailbox, app):
    link = mailbox.link_from(client.register(EMAIL, GOOD))
    scanner = new_browser()

    scanner.send("HEAD", link)
    scanner.get(scanner.get(link).location)

    assert not find_user(app).is_verified()


def test_confirmation_link_works_once(client, mailbox):
    link = mailbox.link_from(client.register(EMAIL, GOOD))

    assert client.verify_email(link).status_code == 302
    dead = client.get(link)
    assert dead.status_code == 410
    assert "/auth/resend-verification" in dead.text
    assert client.get("/auth/verify-email").status_code == 410
    assert client.send("POST", "/auth/verify-email", data={"csrf_token": client.token()}).status_code == 410


def test_confirmation_link_expires_after_a_day(client, mailbox, clock):
    link = mailbox.link_from(client.register(EMAIL, GOOD))
    kept = client.get(link).location

    clock.advance(hours=24)

    assert client.get(link).status_code == 410
    assert client.get(kept).status_code == 410


@pytest.mark.parametrize("token", ["x", "x" * 43, "x" * 2000, "%00", "%ff%fe", "..", "é"])
@pytest.mark.parametrize(
    "kind",
    ["verify-email", "reset-password", "confirm-email-change", "undo-email-change", "undo-addition", "keep-factors"],
)
@pytest.mark.databases("sqlite")
def test_unknown_link_returns_410(client, kind, token):
    assert client.get(f"/auth/{kind}/{token}").status_code == 410


def test_link_page_without_a_link_returns_410(client):
    links = (
        "verify-email",
        "reset-password",
        "confirm-email-change",
        "undo-email-change",
        "undo-addition",
        "keep-factors",
    )
    for path in links:
        assert client.get(f"/auth/{path}").status_code == 410


def test_same_browser_confirms_with_one_button_and_becomes_a_known_device(client, mailbox, new_browser):
    client.verify_email(mailbox.link_from(client.register(EMAIL, GOOD)))
    assert client.cookie("device")
    client.logout()
    client.login(EMAIL, GOOD)
    assert "New sign-in" not in str([mail.subject for mail in mailbox.all()])
    new_browser().login(EMAIL, GOOD)
    assert mailbox.last().subject == "New sign-in to your Gatehouse account"


def test_wrong_passwords_at_confirmation_are_slowed_down(client, new_browser, mailbox):
    link = mailbox.link_from(client.register(EMAIL, GOOD))
    guesser = new_browser()

    statuses = [guesser.verify_email(link, f"guess number {guess}").status_code for guess in range(6)]

    assert statuses == [422, 422, 422, 422, 422, 429]
    slowed = guesser.verify_email(link, GOOD)
    assert slowed.status_code == 429
    assert int(slowed.headers["Retry-After"]) >= 1


# ── resending the link ──


@pytest.mark.parametrize("state", ["unknown", "unconfirmed", "confirmed"])
def test_resend_response_is_always_the_same(client, new_browser, people, state):
    if state == "unconfirmed":
        new_browser().register(EMAIL, GOOD)
    if state == "confirmed":
        people.add(EMAIL)
    reference = new_browser()

    expected = seen_by_a_stranger(reference.resend_verification("nobody@example.com"), reference)

    assert seen_by_a_stranger(client.resend_verification(EMAIL), client) == expected


def test_resent_link_replaces_the_earlier_one(client, mailbox):
    first = mailbox.link_from(client.register(EMAIL, GOOD))
    second = mailbox.link_from(client.resend_verification(EMAIL))

    assert client.get(first).status_code == 410
    assert client.verify_email(second).status_code == 302


def test_resend_sends_nothing_to_unknown_addresses_and_a_notice_to_confirmed_ones(client, ada, mailbox):
    client.resend_verification("nobody@example.com")
    client.resend_verification(ada.email)

    assert [mail.subject for mail in mailbox.all()] == ["You already have an account with Gatehouse"]
    assert mailbox.last().to == ada.email


# ── refusals ──


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("", "Choose a password."),
        ("short", "Use at least 12 characters."),
        ("x" * 257, "Use at most 256 characters."),
        ("password1234", "Use a few random words."),
        ("ada@example.com", "Use a few random words."),
        ("Gatehouse Gatehouse", "Use a few random words."),
    ],
    ids=lambda text: text[:20],
)
@pytest.mark.databases("sqlite")
def test_weak_password_is_refused_with_a_reason_and_never_echoed(client, app, password, reason):
    refused = client.register(EMAIL, password, name="Ada")

    page = Page(refused.text)
    assert refused.status_code == 422
    assert reason in page.text("#password-error")
    assert (page.value("name"), page.value("email"), page.value("password")) == ("Ada", EMAIL, "")
    assert page.text("title").startswith("Error: ")
    assert find_user(app) is None


@pytest.mark.databases("sqlite")
def test_refused_address_stays_in_its_field(client):
    refused = client.register("ada@nowhere", GOOD, name="Ada")

    page = Page(refused.text)
    assert refused.status_code == 422
    assert page.value("email") == "ada@nowhere"
    assert "Enter an email address, like" in page.text("#email-error")
    assert page.find("#email").attrs["aria-invalid"] == "true"
    assert page.find("#email").attrs["aria-describedby"].split()[-1] == "email-error"


def test_spellings_of_one_address_are_one_account(client, new_browser, mailbox, app):
    client.register("  ADA@Example.COM ", GOOD)
    new_browser().register("ada@example.com", "another quiet harbour")

    assert count(app, User) == 1
    assert client.verify_email(mailbox.link_from(), "another quiet harbour").status_code == 302
    assert client.login("Ada@EXAMPLE.com", "another quiet harbour").status_code == 302


@pytest.mark.parametrize(("registration", "says"), [("closed", "is closed"), ("invite", "Sign-up is by invitation")])
def test_closed_registration_refuses_sign_up(make_app, registration, says):
    client = Browser(make_app(registration=registration))

    assert says in client.page("/auth/register").text("main")
    client.send("POST", "/auth/register", data={"csrf_token": client.token(), "email": EMAIL, "password": GOOD})
    assert find_user(client.app) is None
    assert not client.page("/auth/login").has('a[href="/auth/register"]')


def test_signed_in_user_is_redirected_from_sign_up(signed_in):
    answer = signed_in.get("/auth/register")

    assert (answer.status_code, answer.location) == (302, "/account")


def test_terms_and_privacy_are_linked_when_set(make_app):
    client = Browser(make_app(terms_url="https://example.com/terms", privacy_url="https://example.com/privacy"))

    page = client.page("/auth/register")
    assert page.has('form a[href="https://example.com/terms"]')
    assert page.has('form a[href="https://example.com/privacy"]')


# ── the strength meter ──


@pytest.mark.databases("sqlite")
def test_password_meter_returns_score_and_reason(client):
    def ask(password, **more):
        return client.post("/auth/password-strength", {"password": password, **more}).json

    assert ask(GOOD) == {"score": 4, "advice": ""}
    assert ask("password1234")["score"] < 3
    assert "few random words" in ask("password1234")["advice"]
    assert ask("wrenhollow-kestrel", email="wrenhollow@kestrel.example")["score"] < 3
    assert ask("")["score"] == 0
    assert ask("x" * 100_000)["score"] in range(5)


@pytest.mark.databases("sqlite")
def test_password_meter_requires_a_csrf_token(client):
    assert client.send("POST", "/auth/password-strength", data={"password": GOOD}).status_code == 400


def test_unconfirmed_account_is_deleted_after_its_time(client, mailbox, clock, flask):
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
        ("email", "ada\x00@example.com", "special characters"),
        ("name", "x" * 101, "at most 100"),
        ("name", "Ada\nLovelace", "Remove line breaks"),
        ("name", "Ada\u202eecalevoL", "Remove line breaks"),
        ("password", "", "Choose a password"),
        ("password", "short", "at least 12"),
        ("password", "x" * 257, "at most 256"),
        ("password", "password1234", "common"),
        ("password", "ada.lovelace1", "few random words"),
        ("password", "gatehouse gatehouse", "a few random words"),
    ],
)
@pytest.mark.databases("sqlite")
def test_refused_form_says_what_to_do_and_keeps_input(client, field, value, says):
    typed = {"email": "ada.lovelace@example.com", "name": "Ada Lovelace", "password": GOOD} | {field: value}

    answer = client.post("/auth/register", typed)

    assert answer.status_code == 422
    assert says in answer.text
    assert "ada.lovelace@example.com" in answer.text or field == "email"
    assert GOOD not in answer.text
