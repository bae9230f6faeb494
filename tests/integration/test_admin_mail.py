"""The email log: what administrators see, and resending."""

import re
from html import unescape

import pytest

from app.auth.emails.factors import SendFactorChanged
from app.auth.emails.sign_in import SendNewDevice, SendPasswordReset
from app.core.settings import SettingsError
from app.invitations.emails import SendInvitation
from app.mail.kinds import EmailKind
from app.mail.rendering import OURS, render, sample
from app.mail.services.sent_mails import MailFilter
from app.oauth.emails import ConnectionChanged
from app.unit_of_work import reading
from app.users.emails import SendAccountDeactivated
from app.web.theme import button_colors
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
def test_sent_email_is_listed_with_the_servers_answer(app, grace, smtp_server):
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


def test_refused_email_is_resent_as_the_same_and_a_sent_one_as_another(app, grace, smtp_server):
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


def test_queued_email_is_not_sent_twice(app, grace, smtp_server):
    smtp_server.answers.append("451 try again later")
    sent_to(app, "ada@example.com")
    mail = newest(app)

    assert not grace.page(MAIL).has("main td form")
    answer = grace.post(f"{MAIL}/{mail.id}/resend", {}, page=MAIL)
    assert "already being sent" in grace.page(answer.location).text("main")
    assert grace.post(f"{MAIL}/999999999/resend", {}, page=MAIL).status_code == 404


def test_mail_pages_require_their_permission(app):
    browser = Browser(app)
    browser.login(People(app).add("ada@example.com"))
    assert browser.get(MAIL).status_code == 403
    assert browser.post(f"{MAIL}/1/resend", {}, page="/account").status_code == 403


# ── the templates ──


def test_every_email_has_a_readable_sample(app):
    with app.app_context():
        for kind, email in EmailKind.templates.items():
            mail = sample(email)
            assert mail.kind == kind
            assert mail.subject
            for part in (mail.text, mail.html):
                assert "None" not in part, kind
                assert "Undefined" not in part, kind
            links = set(re.findall(r"https?://[^\s<>\"]+", mail.text))
            assert all(link in mail.html for link in links), kind
            assert max(map(len, mail.text.splitlines())) < 998, kind
            # Styles are inline, because many mail programs ignore style sheets.
            assert "<style" not in mail.html, kind
            assert all("style=" in tag for tag in re.findall(r"<(?:p|a|ul|li|div)\b[^>]*>", mail.html)), kind


def test_text_part_has_the_sentences_of_the_html_part(app):
    with app.app_context():
        mails = [sample(kind) for kind in EmailKind.list_kinds()]
    for mail in mails:
        shown = " ".join(unescape(re.sub(r"<[^>]*>", " ", mail.html)).split()).replace(" :", ":")
        for line in mail.text.splitlines():
            assert line.strip() == "--" or line.strip().removesuffix(":") in shown, (mail.kind, line)


@pytest.mark.databases("sqlite")
@pytest.mark.settings(support_email="help@example.com")
def test_support_address_is_in_every_email(app):
    with app.app_context():
        for kind in EmailKind.list_kinds():
            assert "\nQuestions? Contact help@example.com.\n" in sample(kind).text, kind
            assert "mailto:help@example.com" in sample(kind).html, kind
            assert not re.search(r"[a-z][.?!][A-Z]", sample(kind).text), kind  # Sentences that ran together.
        assert "contact help@example.com" in sample(SendAccountDeactivated).text


@pytest.mark.parametrize("kind", EmailKind.templates)
def test_email_template_is_previewed_as_html_and_text(grace, kind):
    page = grace.page(f"{MAIL}/templates/{kind}")
    assert len(page.find_all("iframe[sandbox]")) == 3
    assert page.has("pre")
    framed = grace.get(f"{MAIL}/templates/{kind}/html")
    assert "sandbox" in framed.headers["Content-Security-Policy"]
    assert "script-src" not in framed.headers["Content-Security-Policy"]
    assert 'name="color-scheme" content="light"' in framed.text
    assert 'name="color-scheme" content="dark"' in grace.get(f"{MAIL}/templates/{kind}/html?scheme=dark").text


def test_sample_email_is_sent_to_oneself(app, grace, smtp_server):
    page = f"{MAIL}/templates/invitation"
    answer = grace.post(f"{page}/send", {}, page=page)
    assert "Sample sent to grace@example.com" in grace.page(answer.location).text("main")
    work_off(app)

    (mail,) = smtp_server.received
    assert (mail.to, mail.subject) == ("grace@example.com", "[Sample] You're invited to Gatehouse")
    assert grace.get(f"{MAIL}/templates/odd").status_code == 404
    assert grace.post(f"{MAIL}/templates/odd/send", {}, page=page).status_code == 404


# ── overridden templates ──


def override(settings, name, text):
    path = settings.instance_path / "templates" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.databases("sqlite")
@pytest.mark.settings(accent_color="#ffcc00", site_name="Acme")
def test_email_button_uses_the_accent_color(app):
    with app.app_context():
        html = sample(SendPasswordReset).html
        colors = button_colors("#ffcc00")
    assert f"background-color: {colors['solid']}" in html
    assert f"color: {colors['label']}" in html
    assert "#1f5f8b" not in html


def test_email_links_are_alone_on_their_line_or_linked(app):
    """In the text a URL starts a line, so that mail programs find its end; in HTML it is always a link."""
    with app.app_context():
        mails = [sample(kind) for kind in EmailKind.list_kinds()]
        # The other branch of emails with an undo link.
        for kind in (ConnectionChanged, SendFactorChanged):
            mails.append(
                render(kind.email(None, to="ada@example.com", **kind.sample | {"undo_link": None, "is_added": False}))
            )
    for mail in mails:
        for line in mail.text.splitlines():
            assert "http" not in line or re.fullmatch(r"https?://\S+", line), (mail.kind, line)
        bare = re.sub(r"<a\b.*?</a>|<[^>]*>", " ", mail.html, flags=re.DOTALL)
        assert "http://" not in bare, mail.kind
        assert "127.0.0.1" not in mail.text + mail.html


@pytest.mark.databases("sqlite")
def test_values_of_emails_cannot_become_links_unless_they_are_ours(app):
    bait = "evil.example/now"
    with app.app_context():
        for kind in EmailKind.list_kinds():
            texts = [
                name for name, value in kind.sample.items() if isinstance(value, str) and not name.endswith("link")
            ]
            baited = dict.fromkeys(set(texts) - OURS, bait)
            mail = render(kind.email(None, to="ada@example.com", **kind.sample | baited))
            assert bait not in mail.text + mail.html, kind


def test_overridden_email_template_is_used(settings, make_app):
    override(settings, "emails/invitation.txt", "Come in: {{ link }}")
    with make_app().app_context():
        assert sample(SendInvitation).text.startswith("Come in: http://gatehouse.test/auth/invitation/")


def test_text_template_of_a_site_uses_our_base_and_parts(settings, make_app):
    text = "{% extends 'emails/base.txt' %}{% from 'emails/_parts.txt' import facts %}"
    override(
        settings,
        "emails/new_device.txt",
        text + "{% block body %}{{ facts([('On', device)]) }}{{ reset_url }}{% endblock %}",
    )
    with make_app().app_context():
        text = sample(SendNewDevice).text
    assert "On: Firefox on Linux" in text
    assert "http://gatehouse.test/auth/forgot-password" in text
    assert "You're getting this email because" in text


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("home.html", "{% if %}", r"home.html, line 1"),
        ("emails/new_device.html", "\n{{ device", r"new_device.html, line 2"),
        ("emails/new_device.txt", "{{ device.far.away }}", r"the mail new_device cannot be made"),
        ("emails/new_device.txt", "{% extends 'emails/nothing.txt' %}", r"the mail new_device cannot be made"),
    ],
)
def test_broken_overridden_template_stops_the_start(settings, make_app, name, text, why):
    override(settings, name, text)
    with pytest.raises(SettingsError, match=why):
        make_app()
