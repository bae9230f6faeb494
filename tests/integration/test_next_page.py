"""Redirect targets: only our own pages, as a browser parses a URL."""

from urllib.parse import quote

import pytest

from app.web.redirects import next_page, own_path, return_url
from tests.support.authenticator import add_passkey, passkey_options, set_up
from tests.support.browser import Browser
from tests.support.commands import flask_command
from tests.support.people import People
from tests.support.program import Program

pytestmark = pytest.mark.databases("sqlite")

OURS = [
    "/",
    "/account",
    "/account/email",
    "/account/activity?before=12",
    "/users?q=ada",
    "/users?q=ada%20king&before=3",
    "/users/7",
    "/auth/login",
    "/account/sessions?x=a,b:c+d~e",
]

NOT_OURS = [
    "",
    "account",
    "account/email",
    "//evil.test",
    "///evil.test",
    "////evil.test",
    "//evil.test/account",
    "/\\evil.test",
    "\\\\evil.test",
    "/\\/evil.test",
    "\\/evil.test",
    "/\t/evil.test",
    "/\n/evil.test",
    "/\r/evil.test",
    "\t//evil.test",
    " //evil.test",
    " /account",
    "/account ",
    "/account\x00",
    "/account\r\nSet-Cookie: x=y",
    "/account%0d%0aSet-Cookie:x=y",
    "/%2f/evil.test",
    "/%2fevil.test",
    "/%2f%2fevil.test",
    "/%5cevil.test",
    "/.//evil.test",
    "/account/..//evil.test",
    "/account/../../evil.test",
    "https://evil.test",
    "http:evil.test",
    "https:/evil.test",
    "https:///evil.test",
    "HTTPS://EVIL.TEST",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "data:text/html,x",
    "ftp://evil.test",
    "//user:password@evil.test",
    "/@evil.test",
    "@evil.test",
    "//gatehouse.test@evil.test",
    "http://gatehouse.test/account",
    "//gatehouse.test/account",
    "/account#//evil.test",
    "/account?next=//evil.test\n",
    "/\u2215/evil.test",
    "\uff0f\uff0fevil.test",
    "/\u3002evil.test",
    "/\ud800",
    "/nowhere",
    "/static/gatehouse.css",
    "/auth/logout",
    "/account/email/cancel",
    "/users/",
    "/users/0",
    "/users/" + "9" * 30,
    "?",
    "?next=/account",
    "#",
    ".",
    "..",
    "*",
    "/account" + "/" * 600,
    "/users?q=" + "x" * 600,
    "x" * 1_000_000,
]


@pytest.mark.parametrize("target", OURS)
def test_own_path_is_accepted_as_next_page(app, target):
    with app.test_request_context():
        assert own_path(target) == target
        assert next_page(target, otherwise="account.profile") == target


@pytest.mark.parametrize("target", NOT_OURS, ids=lambda target: ascii(target[:40]))
def test_other_values_lead_to_the_default_page(app, target):
    with app.test_request_context():
        assert not own_path(target)
        assert next_page(target, otherwise="account.profile") == "/account"


def test_missing_next_leads_to_the_default_page(app):
    with app.test_request_context():
        assert next_page(None, otherwise="account.profile") == "/account"


RAW = {
    '/users?q={"a":1}': "/users?q=%7B%22a%22:1%7D",
    "/users?q=a|b^c`d[e]\\": "/users?q=a%7Cb%5Ec%60d%5Be%5D%5C",
    "/account?x=<y>": "/account?x=%3Cy%3E",
}
ELSEWHERE_RAW = {
    'http://wiki.gatehouse.test/graph?g0.expr=up{job="a"}': "/graph?g0.expr=up%7Bjob=%22a%22%7D",
    "HTTP://Wiki.Gatehouse.TEST/a": "/a",
    "http://wiki.gatehouse.test:80/a?b": "/a?b",
    "http://wiki.gatehouse.test/d/[x]": "/d/%5Bx%5D",
}


@pytest.mark.parametrize("target", RAW)
def test_raw_characters_in_next_are_escaped(app, target):
    with app.test_request_context():
        assert own_path(target) == RAW[target]


@pytest.mark.parametrize("target", ELSEWHERE_RAW)
def test_pages_of_other_apps_are_kept_as_each_proxy_writes_them(site, target):
    with site.test_request_context():
        assert return_url(target) == f"http://wiki.gatehouse.test{ELSEWHERE_RAW[target]}"


@pytest.mark.parametrize(
    "target",
    [
        "http://wiki.gatehouse.test:81/",
        "http://wiki.gatehouse.test@evil.test/",
        "http://wiki.gatehouse.test\\@evil.test/",
        "http://wiki.gatehouse.test/a\\b",
        "http://wiki.gatehouse.test",
        "http://wiki.gatehouse.test/a b",
        "https://wiki.gatehouse.test/",
        "http://wiki.gatehouse.test:99999/",
        "http://xwiki.gatehouse.test/",
        f"http://wiki.gatehouse.test/{'{' * 1000}",
    ],
)
def test_lookalike_urls_of_other_apps_are_refused(site, target):
    with site.test_request_context():
        assert return_url(target) == ""


# ── every sign-in method ──

ELSEWHERE = f"http://wiki.gatehouse.test/page?q={'x' * 1900}"


@pytest.fixture
def site(keep_app, provider):
    app = keep_app(
        oauth_providers=[provider.settings()], cookie_domain="gatehouse.test", return_hosts=["wiki.gatehouse.test"]
    )
    for name in ("oauth_clients", "oauth_at_once"):  # Clear the provider of an earlier test.
        app.extensions.pop(name, None)
    return app


@pytest.fixture
def factors(site, clock, provider):
    """The authenticator app and passkey of a user who signed in with the provider and has no password."""
    owner = Browser(site)
    by_provider(owner, provider, "")
    phone, _ = set_up(owner, clock)
    return phone, add_passkey(owner)[0]


def by_provider(browser, provider, target):
    return browser.get(provider.answer(browser.get(f"/auth/oauth/acme?next={quote(target, safe='')}").location))


def by_code(browser, phone, answer):
    assert answer.location == "/auth/two-factor"
    return browser.post("/auth/two-factor", {"code": phone.code()})


def by_passkey(browser, passkey, purpose, page, **more):
    signed = passkey.get(passkey_options(browser.get(page).text))
    sent = {"credential": signed, "purpose": purpose, **more}
    return browser.post("/auth/passkey", sent, page=page)


@pytest.mark.parametrize("target", [ELSEWHERE, "/account/sessions", "//evil.test", "http://evil.test/"])
def test_every_sign_in_method_returns_to_the_requested_page(site, clock, provider, factors, target):
    phone, passkey = factors
    with_password = People(site).add("grace@example.com")
    plain = Browser(site).login(with_password, next=target)
    owner = Browser(site)
    owner.login(with_password)
    own_phone, _ = set_up(owner, clock)
    password, second = Browser(site), Browser(site)

    answers = [
        plain,
        by_code(password, own_phone, password.login(with_password, next=target)),
        by_code(second, phone, by_provider(second, provider, target)),
        by_passkey(Browser(site), passkey, "sign-in", "/auth/login", next=target),
    ]
    third = Browser(site)
    by_provider(third, provider, target)
    answers.append(by_passkey(third, passkey, "two-factor", "/auth/two-factor"))

    is_ours = target in {ELSEWHERE, "/account/sessions"}
    assert [answer.location for answer in answers] == [target if is_ours else "/account"] * 5


def test_administrators_can_use_every_sign_in_method_during_maintenance(site, clock, provider, factors):
    phone, passkey = factors
    root = People(site).add("grace@example.com", roles=("administrator",))
    member = People(site).add("bob@example.com")
    own_phone, _ = set_up(signed_in(site, root), clock)
    flask_command(site, "users", "assign", "ada@corp.example", "administrator")
    assert flask_command(site, "maintenance", "on").exit_code == 0
    for way in (
        lambda browser: by_code(browser, own_phone, browser.login(root)),
        lambda browser: by_code(browser, phone, by_provider(browser, provider, "")),
        lambda browser: by_passkey(browser, passkey, "sign-in", "/auth/login"),
        lambda browser: (
            by_provider(browser, provider, "") and by_passkey(browser, passkey, "two-factor", "/auth/two-factor")
        ),
    ):
        browser = Browser(site)
        clock.advance(seconds=30)
        assert way(browser).location == "/account"
        assert browser.get("/account").status_code == 200
    answer = Program(site).post(
        "/auth/login", {"email": root.email, "password": root.password, "code": later(own_phone, clock)}
    )
    assert answer.status_code == 200, answer.text
    closed = Browser(site)
    closed.login(member)
    assert closed.get("/account").status_code == 503


def signed_in(site, person):
    browser = Browser(site)
    browser.login(person)
    return browser


def later(phone, clock):
    clock.advance(seconds=30)
    return phone.code()


def test_requested_page_is_forgotten_after_arrival(site, clock, provider, factors):
    phone, _ = factors
    browser = Browser(site)
    by_code(browser, phone, by_provider(browser, provider, "/account/sessions"))
    assert browser.http.get_cookie("next") is None

    by_provider(browser, provider, "/account/sessions")
    again = Browser(site)
    again.http.set_cookie("next", "/account/sessions")
    clock.advance(seconds=30)
    assert by_code(again, phone, by_provider(again, provider, "")).location == "/account"
