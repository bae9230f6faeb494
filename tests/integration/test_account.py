"""Account pages: name, password, sessions, activity, and confirmation before sensitive changes."""

import pytest
from sqlalchemy import select

from app.audit.models import AuditEvent
from app.core.extensions import db
from tests.support.browser import IPHONE, Browser
from tests.support.pages import Page

NEW = "a louder harbour today"
PAGES = ("/account", "/account/email", "/account/password", "/account/sessions", "/account/activity")


@pytest.mark.parametrize("path", PAGES)
def test_account_pages_require_sign_in(signed_in, new_browser, path):
    assert signed_in.get(path).status_code == 200
    assert signed_in.get(path).headers["Cache-Control"] == "no-store"

    stranger = new_browser().get(path)
    assert (stranger.status_code, stranger.location) == (302, f"/auth/login?next={path}")


# ── the profile ──


def test_name_is_changed_and_shown(signed_in):
    assert signed_in.post("/account", {"name": "  Augusta   Ada King  "}).location == "/account"

    page = signed_in.page("/account")
    assert page.value("name") == "Augusta Ada King"
    assert "Changes saved." in page.text("main")


def test_name_with_control_characters_is_refused_and_can_be_corrected(signed_in):
    refused = signed_in.post("/account", {"name": "x" * 101})

    assert refused.status_code == 422
    assert Page(refused.text).value("name") == "x" * 101
    assert "at most 100" in Page(refused.text).text("#name-error")
    assert signed_in.page("/account").value("name") == "Ada Lovelace"


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7*7 }}", "&amp;"])
@pytest.mark.databases("sqlite")
def test_name_is_escaped_everywhere(signed_in, people, app, name):
    signed_in.post("/account", {"name": name})
    people.add("grace@example.com", roles=("administrator",))
    admin = Browser(app)
    admin.login("grace@example.com", "a quieter harbour")

    assert signed_in.page("/account").value("name") == name
    assert name in signed_in.page("/account/activity").text("main")
    assert name in admin.page("/users").text("main")


def test_unchanged_name_is_not_recorded(signed_in, app, ada):
    for _ in range(3):
        signed_in.post("/account", {"name": "Ada"})

    with app.app_context():
        kinds = list(db.session.scalars(select(AuditEvent.kind).where(AuditEvent.subject_id == ada.id)))
    assert kinds.count("user.renamed") == 1


# ── the password ──


def test_password_change_requires_the_current_password(signed_in, new_browser, ada, mailbox):
    answer = signed_in.post("/account/password", {"current_password": ada.password, "password": NEW})

    assert answer.location == "/account/password"
    assert signed_in.is_signed_in()
    assert new_browser().login(ada).status_code == 422
    assert new_browser().login(ada, NEW).status_code == 302
    assert mailbox.to(ada.email)[0].subject == "Your Gatehouse password was changed"


def test_password_change_ends_other_sessions_and_rotates_this_token(signed_in, new_browser, ada, app):
    other = new_browser()
    other.sign_in(ada)
    stolen = signed_in.cookie("session").value

    signed_in.post("/account/password", {"current_password": ada.password, "password": NEW})

    assert not other.is_signed_in()
    thief = Browser(app)
    thief.http.set_cookie("session", stolen, domain="gatehouse.test")
    assert not thief.is_signed_in()
    assert signed_in.is_signed_in()


def test_password_change_invalidates_an_open_reset_link(signed_in, ada, mailbox):
    link = mailbox.link_from(signed_in.forgot_password(ada.email))

    signed_in.post("/account/password", {"current_password": ada.password, "password": NEW})

    assert signed_in.get(link).status_code == 410


@pytest.mark.parametrize(
    ("field", "values", "reason"),
    [
        ("current_password", {"current_password": "not that harbour", "password": NEW}, "not your current password"),
        ("current_password", {"current_password": "", "password": NEW}, "Enter your password."),
        ("current_password", {"current_password": "x" * 1025, "password": NEW}, "too long"),
        ("password", {"password": ""}, "Choose a password."),
        ("password", {"password": "short"}, "at least 12"),
        ("password", {"password": "ada@example.com1"}, "few random words"),
    ],
)
@pytest.mark.databases("sqlite")
def test_refused_password_change_names_the_field_and_echoes_nothing(signed_in, ada, field, values, reason):
    refused = signed_in.post("/account/password", {"current_password": ada.password} | values)

    page = Page(refused.text)
    assert refused.status_code == 422
    assert reason in page.text(
        f"#{field.replace('_', '-')}-error" if page.has("#current-password") else f"#{field}-error"
    )
    assert page.value("password") == page.value("current_password") == ""


def test_wrong_current_passwords_are_slowed_down(signed_in, ada):
    guesses = [
        signed_in.post("/account/password", {"current_password": f"guess {guess}", "password": NEW}).status_code
        for guess in range(6)
    ]

    assert guesses == [422, 422, 422, 422, 422, 429]


@pytest.mark.own_app
def test_busy_hashing_is_reported_on_every_password_form(signed_in, ada, app):
    passwords = app.extensions["passwords"]
    passwords._wait = 0
    while passwords._slots.acquire(blocking=False):
        pass

    for path, data in (
        ("/account/password", {"current_password": ada.password, "password": NEW}),
        ("/auth/confirm", {"password": ada.password}),
    ):
        assert "We're busy right now" in Page(signed_in.post(path, data).text).text("main")


# ── confirmation ──


def test_recent_sign_in_needs_no_confirmation(signed_in, clock):
    clock.advance(minutes=9, seconds=59)

    assert signed_in.get("/account/email").status_code == 200


def test_old_sign_in_needs_confirmation_on_sensitive_pages(signed_in, ada, clock):
    clock.advance(minutes=10)

    redirect = signed_in.get("/account/email")
    assert (redirect.status_code, redirect.location) == (302, "/auth/confirm?next=/account/email")

    page = signed_in.page(redirect.location)
    assert page.value("next") == "/account/email"
    answer = signed_in.post("/auth/confirm", {"password": ada.password, "next": page.value("next")})
    assert answer.location == "/account/email"
    assert signed_in.get("/account/email").status_code == 200


def test_late_post_without_confirmation_changes_nothing(signed_in, clock, mailbox):
    clock.advance(minutes=10)

    for path, data in (
        ("/account/email", {"email": "new@example.com"}),
        ("/account/sessions/end-others", {}),
        ("/account/sessions/1/end", {}),
    ):
        assert signed_in.post(path, data).location.startswith("/auth/confirm")
    assert mailbox.all() == []
    assert signed_in.is_signed_in()


def test_confirmation_rotates_the_token(signed_in, ada, app):
    stolen = signed_in.cookie("session").value

    assert signed_in.confirm(ada.password).location == "/account"

    thief = Browser(app)
    thief.http.set_cookie("session", stolen, domain="gatehouse.test")
    assert not thief.is_signed_in()
    assert signed_in.is_signed_in()


def test_wrong_password_confirms_nothing_and_is_slowed_down(signed_in, ada, clock):
    clock.advance(minutes=10)

    assert [signed_in.confirm("not that harbour").status_code for _ in range(6)] == [422] * 5 + [429]
    assert signed_in.get("/account/email").status_code == 302


def test_confirmation_redirects_only_to_this_site(signed_in, ada):
    assert signed_in.post("/auth/confirm", {"password": ada.password, "next": "//evil.test"}).location == "/account"


# ── sessions ──


def ids_on(page):
    return [form.attrs["action"] for form in page.find_all('form[action$="/end"]')]


def test_sessions_page_lists_devices_and_marks_this_one(signed_in, new_browser, ada, clock):
    phone = new_browser(user_agent=IPHONE, address="2001:db8::7")
    phone.login(ada, remember="y")

    page = signed_in.page("/account/sessions")

    rows = page.texts("main li")
    assert len([row for row in rows if "Last seen" in row]) == 2
    (mine,) = [row for row in rows if "This device" in row]
    (other,) = [row for row in rows if "Safari on iOS" in row]
    assert "Firefox on Linux" in mine
    assert "203.0.113.7" in mine
    assert "2001:db8::7" in other
    assert "Stays signed in" in other


def test_ended_session_is_refused_on_its_next_request(signed_in, new_browser, ada):
    phone = new_browser(user_agent=IPHONE)
    phone.sign_in(ada)
    page = signed_in.page("/account/sessions")
    (row,) = [row for row in page.find_all("main li") if "Safari on iOS" in row.to_text()]

    answer = signed_in.post(row.query("form")[0].attrs["action"])

    assert answer.location == "/account/sessions"
    assert not phone.is_signed_in()
    assert signed_in.is_signed_in()


def test_ending_this_session_signs_out(signed_in):
    (action,) = ids_on(signed_in.page("/account/sessions"))

    assert signed_in.post(action).location == "/auth/login"
    assert not signed_in.is_signed_in()


def test_all_other_sessions_are_ended(signed_in, new_browser, ada):
    others = [new_browser() for _ in range(3)]
    for other in others:
        other.sign_in(ada)

    answer = signed_in.post("/account/sessions/end-others")

    assert "3 other sessions ended" in signed_in.page(answer.location).text("main")
    assert not any(other.is_signed_in() for other in others)
    assert signed_in.is_signed_in()


def test_session_of_another_user_cannot_be_ended(signed_in, new_browser, people):
    bob = people.add("bob@example.com")
    his = new_browser()
    his.sign_in(bob)
    (action,) = ids_on(his.page("/account/sessions"))

    answer = signed_in.post(action)

    assert "already signed out" in signed_in.page(answer.location).text("main")
    assert his.is_signed_in()


def test_idle_session_expires_and_leads_to_sign_in(signed_in, clock):
    clock.advance(hours=12)

    assert signed_in.get("/account").location == "/auth/login?next=/account"


def test_active_session_lasts_until_its_absolute_limit(signed_in, clock):
    for _ in range(16):
        clock.advance(hours=10)
        assert signed_in.is_signed_in()

    clock.advance(hours=10)
    assert not signed_in.is_signed_in()


def test_remembered_session_may_be_idle_for_a_month(client, ada, clock):
    client.login(ada, remember="y")

    clock.advance(days=29)
    assert client.is_signed_in()
    clock.advance(days=30)
    assert not client.is_signed_in()


@pytest.mark.settings(session_idle_minutes=2)
def test_short_session_limits_are_exact(signed_in, clock):
    for _ in range(6):
        clock.advance(seconds=100)
        assert signed_in.is_signed_in()
    clock.advance(seconds=120)
    assert not signed_in.is_signed_in()


# ── activity ──


def test_activity_is_described_in_plain_words(client, ada):
    client.login(ada)
    client.post("/account", {"name": "Augusta"})
    client.post("/account/password", {"current_password": "not that harbour", "password": NEW})

    page = client.page("/account/activity")

    sentences = page.texts("main .row-title")
    assert sentences[0] == "Wrong current password when changing the password."
    assert sentences[1] == "Name changed from “Ada Lovelace” to “Augusta”."
    assert "Signed in." in sentences
    assert "Firefox on Linux" in page.text("main")


def test_activity_is_paged(signed_in):
    for number in range(30):
        signed_in.post("/account", {"name": f"Ada {number}"})

    first = signed_in.page("/account/activity")
    older = first.find('nav.pager a:not([href="/account/activity"])').attrs["href"]
    second = signed_in.page(older)

    assert len(first.texts("main .row-title")) == 25
    assert not set(first.texts("main .row-title")) & set(second.texts("main .row-title")) - {"Signed in."}
    assert second.has('nav.pager a[href="/account/activity"]')


@pytest.mark.parametrize("before", ["x", "-1", "0", "9" * 30, "1.5", ""])
@pytest.mark.databases("sqlite", "postgresql")
def test_invalid_activity_cursor_is_ignored(signed_in, before):
    assert signed_in.get("/account/activity", query_string={"before": before}).status_code == 200


@pytest.mark.databases("sqlite")
def test_well_known_change_password_redirects(signed_in):
    assert signed_in.get("/.well-known/change-password").location == "/account/password"


def test_expired_csrf_token_does_not_skip_the_confirmation(signed_in, clock):
    clock.advance(minutes=10)

    answer = signed_in.send("POST", "/account/email", data={"email": "x@example.com"})

    assert answer.status_code == 302
    assert answer.location.startswith("/auth/confirm")


@pytest.mark.parametrize(
    ("path", "entry"),
    [
        ("/account", "Profile"),
        ("/account/close", "Your data"),
        ("/account/security", "Security"),
        ("/account/security/passkeys", "Security"),
        ("/account/sessions", "Sessions"),
    ],
)
def test_menu_marks_the_entry_of_the_page(client, ada, path, entry):
    client.login(ada)

    assert client.page(path).texts('nav[aria-label="Account"] [aria-current]') == [entry]
