"""The home page, and the header with the account menu and the color scheme."""

import pytest

from tests.support.browser import Browser
from tests.support.pages import Page

pytestmark = pytest.mark.databases("sqlite")


def test_home_leads_to_sign_in(client):
    assert client.get("/").location == "/auth/login"


@pytest.mark.settings(home_url="https://example.com/start")
def test_home_leads_to_home_url_unless_signed_in(client, ada):
    assert client.get("/").location == "https://example.com/start"

    client.sign_in(ada)
    assert client.get("/").location == "/account"


def test_home_is_a_page_in_development(make_app):
    browser = Browser(make_app(environment="development", base_url="http://127.0.0.1:8000"))

    assert "Sign in to" in browser.page("/").text("h1")


def test_header_shows_who_is_signed_in(client, people):
    client.sign_in(people.add("grace@example.com", name="Grace Brewster Hopper"))
    page = client.page("/account")

    assert page.text("header .avatar") == "GH"
    assert page.find("header summary").attrs["aria-label"] == "Account menu: Grace Brewster Hopper"
    assert page.text(".menu-user") == "Grace Brewster Hopper grace@example.com"
    assert not page.has('header a[href="/users"]')


@pytest.mark.parametrize(
    ("name", "initials"), [("", "A"), ("Ada", "A"), ("ada lovelace", "AL"), ("李 小龍", "李小"), ("A A", "A")]
)
def test_initials_come_from_the_name_or_the_address(client, people, name, initials):
    client.sign_in(people.add("ada@example.com", name=name))

    assert client.page("/account").text("header .avatar") == initials


def test_color_scheme_is_kept_in_the_browser(signed_in):
    assert signed_in.page("/account").find("html").attrs.get("data-theme") is None

    answer = signed_in.post("/theme", {"theme": "dark"}, page="/account/email")
    assert answer.status_code == 302
    page = signed_in.page("/account")
    assert page.find("html").attrs["data-theme"] == "dark"
    assert page.texts('header [aria-pressed="true"]') == ["Dark"]

    signed_in.post("/theme", {"theme": "nonsense"}, page="/account")
    assert signed_in.page("/account").find("html").attrs.get("data-theme") is None


def test_color_scheme_returns_to_the_page(signed_in):
    data = {"theme": "light", "csrf_token": signed_in.token()}
    headers = {"Referer": "http://gatehouse.test/account/sessions?before=3"}

    answer = signed_in.send("POST", "/theme", data=data, headers=headers)
    assert answer.location == "/account/sessions?before=3"


def test_pages_below_others_have_breadcrumbs(admin, client):
    client.sign_in(admin)
    crumbs = Page(client.get(f"/users/{admin.id}/edit").text)

    assert crumbs.texts('nav[aria-label="Breadcrumb"] a') == ["Users", crumbs.texts("header .account-name")[0]]
    assert crumbs.text('nav[aria-label="Breadcrumb"] [aria-current="page"]') == "Edit"
