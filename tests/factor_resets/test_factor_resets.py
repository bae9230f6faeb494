"""Factor resets: second factors are removed after a wait that is announced to every address."""

import pytest
from sqlalchemy import delete, select, update

from app.audit.models import AuditEvent
from app.auth.models import Authenticator
from app.core.extensions import db
from app.core.principal import OPERATOR
from app.factor_resets.models import FactorReset
from app.jobs.models import Job
from app.oauth.models import OAuthIdentity
from app.unit_of_work import unit_of_work
from app.users.services.roles import RoleSpec
from tests.support.authenticator import Passkey, add_passkey, passkey_options, set_up
from tests.support.browser import Browser
from tests.support.mailbox import work_off

SECURITY = "/account/security"


@pytest.fixture
def own(app, ada, clock):
    """Ada's browser, with an authenticator app and a passkey."""
    browser = Browser(app)
    browser.sign_in(ada)
    browser.phone, browser.codes = set_up(browser, clock)
    add_passkey(browser)
    return browser


@pytest.fixture
def helper(app, admin):
    browser = Browser(app)
    browser.sign_in(admin)
    return browser


def begin(helper, person, reason="They called, and I know their voice."):
    helper.login("grace@example.com", "a quieter harbour")
    return helper.post(f"/users/{person.id}/reset-factors", {"reason": reason})


def factors(app):
    with app.app_context():
        return len(db.session.scalars(select(Authenticator.id)).all())


def waiting(app):
    with app.app_context():
        return db.session.scalar(select(FactorReset).where(FactorReset.ended_at.is_(None)))


def test_factors_are_removed_after_a_day_and_not_before(app, own, ada, helper, clock, mailbox):
    assert begin(helper, ada).location == f"/users/{ada.id}"
    assert "will be removed" in helper.get(f"/users/{ada.id}").text
    mail = next(mail for mail in mailbox.to(ada.email) if "will be removed" in mail.subject)
    assert "If you didn't, someone is trying to get into the account." in mail.text
    clock.advance(hours=23)
    work_off(app)
    assert factors(app) == 12
    assert Browser(app).login(ada).location == "/auth/two-factor"

    clock.advance(hours=1, seconds=1)
    work_off(app)
    assert factors(app) == 0
    assert not own.is_signed_in()
    assert Browser(app).login(ada).location == "/account"
    assert any("Your second factors were removed" in mail.subject for mail in mailbox.to(ada.email))
    with app.app_context():
        kinds = db.session.scalars(select(AuditEvent.kind).where(AuditEvent.subject_id == ada.id)).all()
    assert {"factor.reset_begun", "factor.reset"} <= set(kinds)
    assert waiting(app) is None


def confirm(own, clock):
    own.login("ada@example.com", "a quieter harbour")
    own.post("/auth/two-factor", {"code": own.phone.code()})
    clock.advance(seconds=30)


def test_owner_cancels_with_a_factor_older_than_a_week(app, own, ada, helper, clock, mailbox):
    clock.advance(days=7)
    begin(helper, ada, reason="Someone called.")
    confirm(own, clock)
    assert "Someone called." in own.get(SECURITY).text
    own.post(f"{SECURITY}/keep-factors", page=SECURITY)
    assert own.post(f"{SECURITY}/keep-factors", page="/account").location == SECURITY
    assert "Removal of all second factors cancelled." in own.get("/account/activity").text
    clock.advance(hours=25)
    work_off(app)
    assert factors(app) == 12


def test_factor_younger_than_a_week_cannot_cancel(app, own, ada, helper, clock, mailbox):
    clock.advance(days=7)
    own.sign_in(ada)
    thief = add_passkey(own, Passkey(), name="Thief's")[0]
    clock.advance(days=6)
    begin(helper, ada)
    with_passkey(own, thief)
    refused = own.post(f"{SECURITY}/keep-factors", page=SECURITY)
    assert refused.location == SECURITY
    assert "at least a week before" in own.get(SECURITY).text
    assert waiting(app) is not None


def test_session_confirmed_without_a_factor_is_asked_for_one(app, ada, helper, clock):
    browser = Browser(app)
    browser.sign_in(ada)
    set_up(browser, clock)
    clock.advance(days=30)
    begin(helper, ada)
    again = Browser(app)
    again.sign_in(ada)
    clock.advance(minutes=11)
    answer = again.post(f"{SECURITY}/keep-factors", page=SECURITY)
    assert answer.location.startswith("/auth/confirm")
    assert waiting(app) is not None


def with_passkey(browser, passkey):
    signed = passkey.get(passkey_options(browser.get("/auth/login").text))
    assert browser.post("/auth/passkey", {"credential": signed, "purpose": "sign-in"}).location == "/account"


@pytest.mark.databases("sqlite", "postgresql")
def test_link_to_an_old_address_cancels(app, ada, helper, clock, mailbox):
    browser = Browser(app)
    browser.sign_in(ada)
    set_up(browser, clock)
    clock.advance(days=8)
    begin(helper, ada)
    link = mailbox.last_to(ada.email).link
    stranger = Browser(app)
    opened = stranger.get(link)
    assert (opened.status_code, opened.location) == (303, "/auth/keep-factors")
    assert ada.email in stranger.get("/auth/keep-factors").text
    assert waiting(app) is not None

    assert stranger.open_and_send(link).location == "/auth/login"

    assert waiting(app) is None
    assert stranger.get(link).status_code == 410
    clock.advance(hours=25)
    work_off(app)
    assert factors(app) == 11


def test_cancel_link_is_sent_only_to_addresses_older_than_a_week(app, own, ada, helper, mailbox, clock):
    clock.advance(days=8)
    browser = Browser(app)
    browser.sign_in(ada)
    browser.post("/account/email", {"email": "thief@evil.example"})
    browser.open_and_send(mailbox.last_to("thief@evil.example").link)
    clock.advance(days=6)
    begin(helper, ada)
    has_link = {mail.to: "keep-factors" in mail.text for mail in mailbox.all() if "will be removed" in mail.subject}
    assert has_link == {"thief@evil.example": False, ada.email: True}


def test_cancel_link_is_invalid_after_the_reset_ends(app, own, ada, helper, mailbox, clock):
    clock.advance(days=8)
    begin(helper, ada)
    link = mailbox.last_to(ada.email).link
    helper.post(f"/users/{ada.id}/keep-factors", page=f"/users/{ada.id}")
    begin(helper, ada)
    stranger = Browser(app)
    stranger.get(link)
    assert stranger.post("/auth/keep-factors").status_code == 410
    assert waiting(app) is not None


def test_requesting_administrator_can_cancel_the_reset(app, own, ada, helper, clock):
    begin(helper, ada)
    helper.post(f"/users/{ada.id}/keep-factors", page=f"/users/{ada.id}")
    clock.advance(hours=25)
    work_off(app)
    assert factors(app) == 12


def test_second_request_does_not_change_the_wait(app, own, ada, helper, clock):
    begin(helper, ada)
    due = waiting(app).due_at
    clock.advance(hours=12)
    begin(helper, ada)
    assert waiting(app).due_at == due


def test_every_address_is_notified(app, own, ada, helper, mailbox, clock):
    with app.app_context(), unit_of_work() as work:
        for number, email in enumerate(("ada@corp.example", None, ada.email)):
            row = OAuthIdentity(user_id=ada.id, provider="acme", issuer="x", subject=str(number), email=email)
            row.created_at = work.clock()
            work.session.add(row)
    own.post("/account/email", {"email": "ada@new.example"})
    own.open_and_send(mailbox.last_to("ada@new.example").link)
    begin(helper, ada)
    recipients = [mail.to for mail in mailbox.all() if "will be removed" in mail.subject]
    assert sorted(recipients) == sorted(["ada@new.example", "ada@corp.example", ada.email, ada.email])


def test_reset_requires_the_permission_and_a_weaker_user(app, own, ada, admin, people, clock):
    with app.app_context(), unit_of_work() as work:
        held = frozenset({"users:read", "users:reset-factors"})
        work.roles.create(RoleSpec(name="helper", permissions=held), by=OPERATOR)
    boss = Browser(app)
    boss.sign_in(admin)
    set_up(boss, clock)
    browser, stranger = Browser(app), Browser(app)
    browser.sign_in(people.add("helper@example.com", roles=("helper",)))
    stranger.sign_in(people.add("stranger@example.com", roles=("manager",)))
    assert (
        stranger.send("POST", f"/users/{ada.id}/reset-factors", data={"csrf_token": stranger.token()}).status_code
        == 403
    )
    assert browser.get(f"/users/{admin.id}/reset-factors").status_code == 403
    browser.confirm("a quieter harbour")
    sent = {"reason": "They called, and I know their voice."}
    assert browser.post(f"/users/{ada.id}/reset-factors", sent).status_code == 302
    assert waiting(app).user_id == ada.id


def test_reset_requires_a_reason_a_fresh_confirmation_and_an_existing_factor(app, own, ada, helper, people, clock):
    helper.confirm("a quieter harbour")
    assert helper.post(f"/users/{ada.id}/reset-factors", {"reason": " "}).status_code == 422
    bare = people.add("bare@example.com")
    assert helper.post(f"/users/{bare.id}/reset-factors", {"reason": "x"}).status_code == 422
    clock.advance(minutes=11)
    assert helper.get(f"/users/{ada.id}/reset-factors").location.startswith("/auth/confirm")
    assert waiting(app) is None


def test_operators_can_reset_factors_at_once(app, own, ada, flask):
    assert flask("users", "reset-factors", ada.email).exit_code == 2
    result = flask("users", "reset-factors", ada.email, "--reason", "seen in person")
    assert "are removed at" in result.output
    assert (
        flask("users", "reset-factors", ada.email, "--cancel").output == "Reset cancelled. The second factors stay.\n"
    )
    assert flask("users", "reset-factors", ada.email, "--cancel").exit_code == 1
    assert factors(app) == 12
    result = flask("users", "reset-factors", ada.email, "--reason", "seen in person", "--now")
    assert (result.exit_code, result.output) == (0, f"The second factors of {ada.email} are removed.\n")
    assert factors(app) == 0
    refused = flask("users", "reset-factors", ada.email, "--reason", "again")
    assert (refused.exit_code, refused.output.count("\n")) == (1, 1)


def test_running_or_cancelling_the_job_early_does_not_change_the_wait(app, own, ada, helper, clock):
    begin(helper, ada)
    with app.app_context(), unit_of_work() as work:
        work.session.execute(update(Job).where(Job.kind == "reset_factors").values(run_after=work.clock()))
    work_off(app)
    assert factors(app) == 12
    clock.advance(hours=24, seconds=1)
    with app.app_context(), unit_of_work() as work:
        work.session.execute(delete(Job).where(Job.kind == "reset_factors"))
    work_off(app)
    assert factors(app) == 12
    helper.login("grace@example.com", "a quieter harbour")
    begin(helper, ada)
    work_off(app)
    assert factors(app) == 0


@pytest.mark.settings(factor_reset_hours=2)
def test_wait_is_configurable(app, own, ada, helper, clock):
    begin(helper, ada)
    clock.advance(hours=2, seconds=1)
    work_off(app)
    assert factors(app) == 0
