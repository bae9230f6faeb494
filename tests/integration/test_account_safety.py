"""Account safety: one test for each problem found in use by outsiders."""

import re
from urllib.parse import quote

import pytest
from sqlalchemy import select

from app.audit.models import AuditDetail, AuditEvent
from app.auth.emails.email_changes import SendEmailChanged
from app.auth.models import Device, Session, Throttle
from app.auth.password_setup import credentials
from app.core.errors import Busy
from app.core.extensions import db
from app.core.principal import NO_VISIT
from app.features import load_features
from app.jobs.models import Job
from app.unit_of_work import unit_of_work
from app.users.models import EmailChange
from tests.support.pages import Page
from tests.support.program import Program

NEW = "a louder harbour today"
BAIT = ["https://evil.test/win", "evil.test", "www。evil.test", "eve@evil.test", "Call +1 (555) 010-9999", "a:b"]


def all_of(app, model):
    with app.app_context():
        return db.session.scalars(select(model).order_by(model.id)).all()


def form_of(browser, path):
    """Return the fields of the form at `path`, as a browser would send them."""
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', browser.get(path).text))


# ── links ──


def test_two_reset_links_in_one_browser_act_on_their_own_accounts(client, ada, people, mailbox):
    bob = people.add("bob@example.com")
    first = mailbox.link_from(client.forgot_password(ada.email))
    second = mailbox.link_from(client.forgot_password(bob.email))
    page = client.get(first).location
    tab_of_ada = form_of(client, page)
    client.get(second)
    assert bob.email in client.get(page).text

    assert client.send("POST", page, data={**tab_of_ada, "password": NEW}).status_code == 302

    assert client.login(ada, NEW).status_code == 302
    assert client.login(bob).status_code == 302


def test_form_without_a_handle_is_refused_when_several_links_are_open(client, ada, people, mailbox):
    bob = people.add("bob@example.com")
    page = client.get(mailbox.link_from(client.forgot_password(ada.email))).location
    client.get(mailbox.link_from(client.forgot_password(bob.email)))

    assert client.post(page, {"password": NEW}).status_code == 410
    assert client.login(ada).status_code == 302


def test_link_handle_is_not_the_token(client, ada, mailbox):
    link = mailbox.link_from(client.forgot_password(ada.email))
    shown = client.get(client.get(link).location).text

    assert link.rpartition("/")[2] not in shown


def test_reset_form_works_after_sign_in_in_another_tab(client, ada, mailbox):
    page = client.get(mailbox.link_from(client.forgot_password(ada.email))).location
    open_tab = form_of(client, page)
    client.login(ada)

    assert client.send("POST", page, data={**open_tab, "password": NEW}).status_code == 302
    assert client.login(ada, NEW).status_code == 302


def test_browser_without_cookies_gets_an_explanation(new_browser, ada, mailbox):
    link = mailbox.link_from(new_browser().forgot_password(ada.email))
    page = new_browser().get(link).location

    answer = new_browser().get(page)  # A new browser has no cookies.
    assert answer.status_code == 410
    assert "blocks cookies" in Page(answer.text).text("main")


def test_invalid_link_page_can_still_sign_out(signed_in):
    answer = signed_in.get(f"/auth/reset-password/{'x' * 43}")

    assert answer.status_code == 410
    assert answer.headers["Referrer-Policy"] == "same-origin"  # Otherwise browsers send `Origin: null`.


def test_spent_confirmation_link_says_the_address_may_be_confirmed(client, mailbox):
    client.register("new@example.com")
    link = mailbox.last().link
    client.verify_email(link)

    page = Page(client.get(link).text)
    assert "may already be confirmed" in page.text("main")
    assert page.has('main a[href="/auth/login"]')
    assert page.has('main a[href="/auth/resend-verification"]')


def test_newest_sent_link_works_when_the_quota_is_used_up(client, mailbox):
    for _ in range(6):
        client.register("new@example.com")
        mailbox.all()
    mails = mailbox.to("new@example.com")

    assert len(mails) == 5
    assert client.verify_email(mails[0].link).status_code == 410
    assert client.verify_email(mails[-1].link).status_code == 302


def test_sign_ups_do_not_use_up_the_owners_email_quota(client, new_browser, ada, mailbox):
    for _ in range(6):
        new_browser().register(ada.email)
    assert len(mailbox.to(ada.email)) == 5

    assert client.reset_password(mailbox.link_from(client.forgot_password(ada.email)), NEW).status_code == 302


def test_emails_to_a_stranger_are_limited(app, people, new_browser, mailbox):
    for number in range(7):
        browser, person = new_browser(), people.add(f"p{number}@example.com")
        browser.login(person)
        browser.post("/account/email", {"email": "victim@example.com"})

    assert len(mailbox.to("victim@example.com")) == 5
    assert [job.outcome for job in all_of(app, Job) if job.kind == "send_confirm_email_change"][5:] == [
        "too many emails of this kind to this address within an hour"
    ] * 2


def test_email_change_requests_are_limited(signed_in, ada, mailbox):
    answers = [signed_in.post("/account/email", {"email": f"new{n}@example.com"}).status_code for n in range(6)]

    assert answers == [302] * 5 + [422]
    assert len(mailbox.to(ada.email)) == 1  # The others were cancelled before their emails were sent.


# ── names ──


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("bait", BAIT)
def test_name_that_looks_like_a_link_is_left_out_of_emails(client, people, mailbox, bait):
    person = people.add("ada@example.com", name=bait)
    client.login(person)
    client.forgot_password(person.email)
    client.register(person.email)
    client.post("/account/email", {"email": "new@example.com"})

    mails = mailbox.all()
    assert len(mails) >= 3
    assert [mail.subject for mail in mails if bait in mail.text or bait in mail.html] == []


def read_by_people(text):
    return text.replace("\u200b", "")


@pytest.mark.databases("sqlite")
def test_name_like_a_host_name_is_greeted_without_a_link(client, people, mailbox):
    client.forgot_password(people.add("ada@example.com", name="Acme.com").email)
    text = mailbox.last().text
    assert "Acme.com" not in text
    assert text.startswith("Hello Acme")
    assert "Hello Acme.com," in read_by_people(text)


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("act", ["deactivate", "impersonate"])
def test_reason_cannot_become_a_link(app, client, admin, ada, mailbox, act):
    reason = "Go to http://evil.test/login, www。evil.test or eve@evil.test and call 0800 5550109."
    client.sign_in(admin)
    assert client.post(f"/users/{ada.id}/{act}", {"reason": reason}).status_code == 302
    if act == "impersonate":
        client.post("/users/stop-impersonating")
    mail = mailbox.last_to(ada.email)
    for part in (mail.text, mail.html):
        assert not [bait for bait in ("http://evil", "evil.test", "eve@evil", "0800", "555") if bait in part]
    assert "Go to http://evil.test/login, www.evil.test or eve@evil.test" in " ".join(read_by_people(mail.text).split())


@pytest.mark.databases("sqlite")
def test_api_key_name_cannot_become_a_link(client, admin, mailbox):
    client.sign_in(admin)
    client.post("/account/api-keys", {"name": "see evil.test/now", "days": "30"})
    mail = mailbox.last_to(admin.email)
    assert "evil.test" not in mail.text + mail.html
    assert "see evil.test/now" in read_by_people(mail.text)


@pytest.mark.parametrize("name", ["Ada", "Zoë O'Brien-Smith", "J. R. R. Tolkien", "Agent 007", "毛泽东"])
@pytest.mark.databases("sqlite")
def test_ordinary_names_are_greeted(client, people, mailbox, name):
    client.forgot_password(people.add("ada@example.com", name=name).email)

    assert mailbox.last().text.startswith(f"Hello {name},")


def test_email_to_an_unconfirmed_address_contains_no_name(client, mailbox):
    client.register("victim@example.com", name="Stranger")
    client.forgot_password("victim@example.com")

    assert not [mail for mail in mailbox.all() if "Stranger" in mail.text + mail.html]


def test_reset_removes_the_name_chosen_by_a_stranger(client, new_browser, mailbox, app):
    new_browser().register("victim@example.com", name="Stranger")
    mailbox.all()
    client.reset_password(mailbox.link_from(client.forgot_password("victim@example.com")), NEW)

    client.login("victim@example.com", NEW)
    assert client.page("/account").value("name") == ""


# ── undo ──


def change_address(browser, mailbox, to):
    browser.post("/account/email", {"email": to})
    assert browser.open_and_send(mailbox.last_to(to).link).status_code == 302


def test_undo_link_survives_later_changes_by_an_attacker(signed_in, new_browser, ada, mailbox):
    change_address(signed_in, mailbox, "thief@example.com")
    undo = mailbox.last_to(ada.email).link
    signed_in.post("/account/email", {"email": "further@example.com"})
    mailbox.all()

    owner = new_browser()
    assert owner.open_and_send(undo).status_code == 302
    assert owner.reset_password(mailbox.link_from(owner.forgot_password(ada.email)), NEW).status_code == 302
    assert not signed_in.is_signed_in()


def test_earliest_undo_wins_and_ends_later_ones(signed_in, new_browser, ada, mailbox):
    change_address(signed_in, mailbox, "second@example.com")
    first = mailbox.last_to(ada.email).link
    change_address(signed_in, mailbox, "third@example.com")
    second = mailbox.last_to("second@example.com").link

    assert new_browser().open_and_send(first).status_code == 302
    assert new_browser().get(second).status_code == 410


def test_later_undo_does_not_end_an_earlier_one(signed_in, new_browser, ada, mailbox, app):
    change_address(signed_in, mailbox, "second@example.com")
    first = mailbox.last_to(ada.email).link
    change_address(signed_in, mailbox, "third@example.com")

    assert new_browser().open_and_send(mailbox.last_to("second@example.com").link).status_code == 302
    owner = new_browser()
    assert owner.open_and_send(first).status_code == 302
    mailbox.link_from(owner.forgot_password(ada.email))


def test_only_one_email_change_is_pending(app, signed_in, ada, mailbox):
    for number in range(3):
        signed_in.post("/account/email", {"email": f"new{number}@example.com"})

    waiting = [row for row in all_of(app, EmailChange) if row.ended_at is None]
    assert [row.new_email for row in waiting] == ["new2@example.com"]


# ── devices ──


def test_new_password_forgets_all_other_browsers(app, client, new_browser, ada):
    client.login(ada)
    new_browser().login(ada)
    before = client.cookie("device").value
    client.post("/account/password", {"current_password": ada.password, "password": NEW})

    assert len(all_of(app, Device)) == 1
    assert client.cookie("device").value != before


def test_password_set_by_an_operator_forgets_all_browsers(app, signed_in, ada, flask):
    flask("users", "edit", ada.email, "--password-stdin", typed=f"{NEW}\n")

    assert all_of(app, Device) == []


@pytest.mark.parametrize("what", ["verify", "reset"])
def test_planted_device_cookie_is_not_adopted(client, ada, mailbox, what):
    planted = "p" * 43
    client.http.set_cookie("device", planted, domain="gatehouse.test")
    if what == "verify":
        client.register("new@example.com")
        client.verify_email(mailbox.last().link)
    else:
        client.reset_password(mailbox.link_from(client.forgot_password(ada.email)), NEW)

    assert client.cookie("device").value != planted


def test_device_is_forgotten_with_its_cookie(app, signed_in, ada, clock):
    clock.advance(days=300)
    signed_in.login(ada)
    clock.advance(days=300)
    with app.app_context(), unit_of_work() as work:
        sum(purge(work, 5000) for purge in load_features().purges)
    assert len(all_of(app, Device)) == 1

    clock.advance(days=101)
    with app.app_context(), unit_of_work() as work:
        sum(purge(work, 5000) for purge in load_features().purges)
    assert all_of(app, Device) == []


# ── counters, sessions, events ──


def test_attempt_that_could_not_be_checked_does_not_count(app, client, ada, monkeypatch):
    def no_slot(*_):
        raise Busy

    with app.app_context():
        monkeypatch.setattr(credentials.passwords, "verify", no_slot)
    client.login(ada)

    assert [row.failures for row in all_of(app, Throttle)] == [0]


def test_refused_pages_are_counted_in_one_event_per_hour(app, signed_in, ada, clock):
    for _ in range(20):
        assert signed_in.get("/users").status_code == 403
    Program(app).login(ada).get("/users")

    with app.app_context():
        refused = select(AuditDetail.count).join(AuditEvent).where(AuditEvent.kind == "access.refused")
        assert db.session.scalars(refused).all() == [21]
    assert "21 times within an hour" in signed_in.get("/account/activity").text
    clock.advance(hours=1)
    signed_in.get("/users")
    with app.app_context():
        assert sorted(db.session.scalars(refused)) == [1, 21]


def test_expired_session_stays_expired_when_the_clock_goes_back(signed_in, clock):
    clock.advance(hours=13)
    assert not signed_in.is_signed_in()
    clock.advance(hours=-13)

    assert not signed_in.is_signed_in()


@pytest.mark.databases("sqlite")
@pytest.mark.settings(sessions_per_user=60)
def test_sessions_are_paged_by_fifty_and_limited_in_number(app, signed_in, ada, clock):
    with app.app_context(), unit_of_work() as work:
        for _ in range(59):
            work.sessions.start(ada.id, visit=NO_VISIT, remember=False)
    clock.advance(minutes=16)
    signed_in.get("/account")  # So that the session in use is not the least recently seen.
    with app.app_context(), unit_of_work() as work:
        for _ in range(10):
            work.sessions.start(ada.id, visit=NO_VISIT, remember=False)
    live = [row for row in all_of(app, Session) if row.ended_at is None]
    first = signed_in.page("/account/sessions")
    rest = signed_in.page(first.find("nav.pager a").attrs["href"])

    assert len(live) == 60
    assert (len(first.texts(".rows > li")), len(rest.texts(".rows > li"))) == (50, 10)


@pytest.mark.parametrize("field", ["query", "form"])
def test_invalid_utf8_is_refused(client, field):
    bad = "%ED%A0%80"
    if field == "query":
        answer = client.get(f"/auth/login?next={bad}")
    else:
        body = f"csrf_token={quote(client.token())}&email={bad}&password=x"
        answer = client.send(
            "POST", "/auth/login", data=body, headers={"Content-Type": "application/x-www-form-urlencoded"}
        )

    assert answer.status_code == 400


def test_password_is_normalized_across_keyboards(client, new_browser, people):
    person = people.add("ada@example.com", password="Zo\u00eb in \u00c5rhus harbour")

    assert client.login(person, "Zoe\u0308 in A\u030arhus harbour").status_code == 302


def test_apostrophe_in_the_query_survives_sign_in(client, admin):
    location = client.get("/users?q=o'brien").location
    answer = client.post(location, {"email": admin.email, "password": admin.password})

    assert answer.location == "/users?q=o'brien"


def test_erased_user_can_get_the_same_email_again(app, ada, work_off, mailbox):
    """A job whose user was erased is done, with the reason."""
    with app.app_context(), unit_of_work() as work:
        work.enqueue(SendEmailChanged(change_id=999999999))
    mailbox.all()

    assert [job.outcome for job in all_of(app, Job)] == ["the change was cancelled"]
    assert all_of(app, Job)[0].state == "done"


# ── token rotation after a change of privileges ──


def renewals(flask, browser, *command):
    """Return whether the token changed at the next request after a command."""
    browser.get("/account")
    before = browser.session_token()
    result = flask(*command)
    assert result.exit_code == 0, result.output
    assert browser.get("/account").status_code == 200
    return browser.session_token() != before


def test_session_token_rotates_when_a_role_changes_permissions(signed_in, ada, flask):
    flask("roles", "create", "clerk", "--permission", "users:read")
    assert renewals(flask, signed_in, "users", "assign", ada.email, "clerk")
    assert renewals(flask, signed_in, "roles", "grant", "clerk", "users:invite")
    assert renewals(flask, signed_in, "users", "unassign", ada.email, "clerk")
    assert not renewals(flask, signed_in, "roles", "list")


def test_forward_auth_requests_do_not_rotate_the_token(make_app, flask, people, new_browser):
    ada = people.add("ada@example.com")
    browser = new_browser()
    browser.sign_in(ada)
    browser.get("/account")
    before = browser.session_token()
    assert flask("users", "assign", ada.email, "administrator").exit_code == 0
    assert browser.get("/auth/forward").status_code in {200, 204}
    assert browser.session_token() == before
    browser.get("/account")
    assert browser.session_token() != before


def test_failing_database_keeps_the_token_and_the_response(signed_in, ada, flask, monkeypatch):
    signed_in.get("/account")
    before = signed_in.session_token()
    flask("users", "assign", ada.email, "administrator")
    monkeypatch.setattr("app.auth.services.sessions.Sessions.renew_token", lambda *_: 1 / 0)
    assert signed_in.get("/account").status_code == 200
    assert signed_in.session_token() == before
    monkeypatch.undo()
    assert signed_in.get("/account").status_code == 200
    assert signed_in.session_token() != before
