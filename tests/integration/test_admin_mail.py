"""The log of mails: what administrators see of them, and sending one again."""

import re
from html import unescape

import pytest

from app.emails import messages
from app.emails.samples import DEVICE, SAMPLES, _ada
from app.services.sent_mails import MailFilter
from app.settings import ROOT, SettingsError
from app.theme import button_colors
from app.unit_of_work import reading
from tests.support.browser import Browser
from tests.support.mailbox import work_off
from tests.support.people import People

MAIL = "/admin/mail"


@pytest.fixture
def app(keep_app, smtp_server):
    return keep_app(mail_url=smtp_server.url, mail_timeout_seconds=5)


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
        return reading().sent_mails.list(MailFilter())[0]


@pytest.mark.databases("sqlite", "postgresql")
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
    assert "No emails match" in grace.page(f"{MAIL}?to=nobody&status=odd").text("main")


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
    assert "Email sent again" in grace.page("/admin/audit").text("main")


def test_a_mail_on_its_way_is_not_sent_twice(app, grace, smtp_server):
    smtp_server.answers.append("451 try again later")
    sent_to(app, "ada@example.com")
    mail = newest(app)

    assert not grace.page(MAIL).has("main td form")
    answer = grace.post(f"{MAIL}/{mail.id}/resend", {}, page=MAIL)
    assert "already being sent" in grace.page(answer.location).text("main")
    assert grace.post(f"{MAIL}/999999999/resend", {}, page=MAIL).status_code == 404


def test_only_those_who_may(app):
    browser = Browser(app)
    browser.login(People(app).add("ada@example.com"))
    assert browser.get(MAIL).status_code == 403
    assert browser.post(f"{MAIL}/1/resend", {}, page="/account").status_code == 403


# ── the templates ──


def test_every_mail_has_a_sample_that_reads_well(app):
    kinds = set(re.findall(r'compose\(\s*"(\w+)"', (ROOT / "app/emails/messages.py").read_text()))
    assert set(SAMPLES) == kinds
    with app.app_context():
        for kind, sample in SAMPLES.items():
            mail = sample()
            assert mail.kind == kind
            assert mail.subject
            for part in (mail.text, mail.html):
                assert "None" not in part, kind
                assert "Undefined" not in part, kind
            links = set(re.findall(r"https?://[^\s<>\"]+", mail.text))
            assert all(link in mail.html for link in links), kind
            assert max(map(len, mail.text.splitlines())) < 998, kind
            # The rules of its style sheet are in the elements: many mail programs know no style sheets.
            assert "<style" not in mail.html, kind
            assert all("style=" in each for each in re.findall(r"<(?:p|a|ul|li|div)\b[^>]*>", mail.html)), kind


def test_text_part_has_the_sentences_of_the_html_part(app):
    with app.app_context():
        mails = [sample() for sample in SAMPLES.values()]
    for mail in mails:
        shown = " ".join(unescape(re.sub(r"<[^>]*>", " ", mail.html)).split()).replace(" :", ":")
        for line in mail.text.splitlines():
            assert line.strip() == "--" or line.strip().removesuffix(":") in shown, (mail.kind, line)


@pytest.mark.databases("sqlite")
@pytest.mark.settings(support_email="help@example.com")
def test_support_address_is_in_every_mail(app):
    with app.app_context():
        for kind, sample in SAMPLES.items():
            assert "Questions? Contact help@example.com." in sample().text, kind
            assert "mailto:help@example.com" in sample().html, kind
        assert "contact help@example.com" in SAMPLES["account_deactivated"]().text


@pytest.mark.parametrize("kind", SAMPLES)
def test_each_template_is_shown_as_html_and_as_text(grace, kind):
    page = grace.page(f"{MAIL}/templates/{kind}")
    assert len(page.find_all("iframe[sandbox]")) == 3
    assert page.has("pre")
    framed = grace.get(f"{MAIL}/templates/{kind}/html")
    assert "sandbox" in framed.headers["Content-Security-Policy"]
    assert "script-src" not in framed.headers["Content-Security-Policy"]
    assert 'name="color-scheme" content="light"' in framed.text
    assert 'name="color-scheme" content="dark"' in grace.get(f"{MAIL}/templates/{kind}/html?scheme=dark").text


def test_a_sample_is_sent_to_oneself(app, grace, smtp_server):
    page = f"{MAIL}/templates/invitation"
    answer = grace.post(f"{page}/send", {}, page=page)
    assert "Sample sent to grace@example.com" in grace.page(answer.location).text("main")
    work_off(app)

    (mail,) = smtp_server.received
    assert (mail.to, mail.subject) == ("grace@example.com", "[Sample] You're invited to Gatehouse")
    assert grace.get(f"{MAIL}/templates/odd").status_code == 404
    assert grace.post(f"{MAIL}/templates/odd/send", {}, page=page).status_code == 404


# ── templates of one's own ──


def override(settings, name, text):
    path = settings.instance_path / "templates" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.databases("sqlite")
@pytest.mark.settings(accent_color="#ffcc00", site_name="Acme")
def test_the_button_of_a_mail_has_the_accent_color(app):
    with app.app_context():
        html = SAMPLES["reset_password"]().html
        colors = button_colors("#ffcc00")
    assert f"background-color: {colors['solid']}" in html
    assert f"color: {colors['label']}" in html
    assert "#1f5f8b" not in html


def test_a_link_in_a_mail_stands_on_its_own_line_or_is_a_link(app):
    """In the text a URL begins a line, so that mail programs find its end; in the HTML it is never bare text."""
    with app.app_context():
        mails = [sample() for sample in SAMPLES.values()]
        # The other branch of mails with a link that undoes something.
        mails += [messages.connection_changed(_ada(), label="Google", is_added=False, token=None, **DEVICE)]
        mails += [
            messages.factor_changed(_ada(), what="factor.removed", factor="totp", left=None, token=None, **DEVICE)
        ]
    for mail in mails:
        for line in mail.text.splitlines():
            assert "http" not in line or re.fullmatch(r"https?://\S+", line), (mail.kind, line)
        bare = re.sub(r"<a\b.*?</a>|<[^>]*>", " ", mail.html, flags=re.DOTALL)
        assert "http://" not in bare, mail.kind
        assert "127.0.0.1" not in mail.text + mail.html


def test_an_overridden_template_is_used(settings, make_app):
    override(settings, "emails/invitation.txt", "Come in: {{ link }}")
    with make_app().app_context():
        assert SAMPLES["invitation"]().text.startswith("Come in: http://gatehouse.test/auth/invitation/")


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("home.html", "{% if %}", r"home.html, line 1"),
        ("emails/invitation.html", "\n{{ link", r"invitation.html, line 2"),
        ("emails/invitation.txt", "{{ link.far.away }}", r"the mail invitation cannot be made"),
        ("emails/invitation.txt", "{% extends 'emails/nothing.txt' %}", r"the mail invitation cannot be made"),
    ],
)
def test_an_overridden_template_that_is_broken_stops_the_start(settings, make_app, name, text, why):
    override(settings, name, text)
    with pytest.raises(SettingsError, match=why):
        make_app()
