"""The log of mails: what administrators see of them, and sending one again."""

import pytest

from app.services.mail_log import MailFilter
from app.unit_of_work import reading
from tests.support.browser import Browser
from tests.support.mailbox import work_off
from tests.support.people import People

MAIL = "/admin/mail"


@pytest.fixture
def app(make_app, smtp_server):
    return make_app(mail_url=smtp_server.url, mail_timeout_seconds=5)


@pytest.fixture
def grace(app):
    browser = Browser(app)
    browser.login(People(app).add("grace@example.com", roles=("administrator",)))
    return browser


def sent_to(app, address):
    Browser(app).register(address)
    work_off(app)


def newest(app):
    with app.app_context():
        return reading().mail_log.list(MailFilter())[0]


def test_each_mail_is_listed_with_what_the_server_answered(app, grace, smtp_server):
    smtp_server.refuses["bad@example.com"] = "550 no such user here"
    for address in ("good@example.com", "bad@example.com"):
        sent_to(app, address)
    smtp_server.answers.append("451 try again later")
    sent_to(app, "slow@example.com")

    text = grace.page(MAIL).text("main")
    for part in ("good@example.com", "Sent", "550 no such user here", "Refused", "Delayed", "451 try again later"):
        assert part in text, part
    refused = grace.page(f"{MAIL}?status=refused").text("main table")
    assert "bad@example.com" in refused
    assert "good@example.com" not in refused
    assert "good@example.com" in grace.page(f"{MAIL}?to=GOOD@example.com").text("main table")
    assert "There is none like that" in grace.page(f"{MAIL}?to=nobody&status=odd").text("main")


def test_a_refused_mail_is_sent_again_as_the_same_and_a_sent_one_as_another(app, grace, smtp_server):
    smtp_server.refuses["ada@example.com"] = "550 no such user here"
    sent_to(app, "ada@example.com")
    refused = newest(app)
    smtp_server.refuses.clear()

    assert grace.post(f"{MAIL}/{refused.id}/resend", {}, page=MAIL).status_code == 302
    work_off(app)
    (first,) = smtp_server.received
    assert first.message_id == refused.message_id

    grace.post(f"{MAIL}/{refused.id}/resend", {}, page=MAIL)
    work_off(app)
    second = smtp_server.received[-1]
    assert (second.to, second.subject) == (first.to, first.subject)
    assert second.message_id != first.message_id
    assert second.link != first.link
    assert "A mail was sent again" in grace.page("/admin/audit").text("main")


def test_a_mail_on_its_way_is_not_sent_twice(app, grace, smtp_server):
    smtp_server.answers.append("451 try again later")
    sent_to(app, "ada@example.com")
    mail = newest(app)

    assert not grace.page(MAIL).has("main td form")
    answer = grace.post(f"{MAIL}/{mail.id}/resend", {}, page=MAIL)
    assert "on its way" in grace.page(answer.location).text("main")
    assert grace.post(f"{MAIL}/999/resend", {}, page=MAIL).status_code == 404


def test_only_those_who_may(app):
    browser = Browser(app)
    browser.login(People(app).add("ada@example.com"))
    assert browser.get(MAIL).status_code == 403
    assert browser.post(f"{MAIL}/1/resend", {}, page="/account").status_code == 403
