"""Forward authentication: other apps ask who is signed in, and users return to them only."""

from urllib.parse import parse_qs, urlsplit

import pytest

from app.core.principal import OPERATOR
from app.core.settings import SettingsError
from app.settings import Settings, load_settings
from app.unit_of_work import unit_of_work
from app.users.services.roles import RoleSpec
from tests.support.browser import Browser
from tests.support.statements import statements

FORWARD = "/auth/forward"
OURS = "https://accounts.example.com"
WIKI = "https://wiki.example.com"
APPS = pytest.mark.settings(
    base_url=OURS,
    cookie_domain="example.com",
    return_hosts=["wiki.example.com", "shop.example.com:8443"],
    trusted_proxies=1,
)


def ask(browser, path=FORWARD, **headers):
    return browser.send("GET", path, headers=headers)


def asked_by_caddy(browser, uri="/page?a=1&b=2", host="wiki.example.com", **headers):
    forwarded = {
        "X-Forwarded-Uri": uri,
        "X-Forwarded-Method": "GET",
        "X-Forwarded-Host": host,
        "X-Forwarded-Proto": "https",
    }
    return browser.send("GET", FORWARD, headers={"Accept": "text/html,*/*", **forwarded, **headers})


def holder(app):
    """A browser that sends the cookies chosen by the test."""
    browser = Browser(app)
    browser.http = app.test_client(use_cookies=False)
    return browser


def next_of(answer):
    location = urlsplit(answer.headers["Location"])
    assert (f"{location.scheme}://{location.netloc}", location.path) == (OURS, "/auth/login")
    return parse_qs(location.query).get("next", [None])[0]


@pytest.fixture
def editor(app, people):
    """A user with a role of two permissions."""
    with app.app_context(), unit_of_work() as work:
        work.roles.create(RoleSpec(name="editor", permissions=frozenset({"users:read", "roles:read"})), by=OPERATOR)
    return people.add("ada@example.com", roles=("editor", "member"))


def test_forward_auth_identifies_the_user_with_one_query(app, editor, clock):
    browser = Browser(app)
    browser.login(editor)
    with statements() as queries:
        answer = ask(browser)
    assert len(queries) == 1
    assert (answer.status_code, answer.data) == (200, b"")
    identity = {name: value for name, value in answer.headers.items() if name.startswith("X-Auth")}
    assert identity == {"X-Auth-User": str(editor.id), "X-Auth-Email": editor.email, "X-Auth-Roles": "editor,member"}
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("?role=editor", 200),
        ("?role=editor&role=member", 200),
        ("?role=administrator", 403),
        ("?role=editor&role=administrator", 403),
        ("?permission=users:read", 200),
        ("?permission=users:read&permission=users:edit", 403),
        ("?permission=nothing:known", 403),
        ("?role=editor&permission=users:edit", 403),
        ("?role=", 403),
    ],
)
def test_forward_auth_requires_every_role_and_permission(app, editor, query, status):
    browser = Browser(app)
    browser.login(editor)
    answer = ask(browser, f"{FORWARD}{query}")
    assert answer.status_code == status
    assert ("X-Auth-User" in answer.headers) == (status == 200)


@APPS
def test_nginx_gets_401_with_the_sign_in_url(app):
    requested = f"{WIKI}/page?a=1&b=2"
    answer = ask(Browser(app), **{"X-Original-URL": requested})
    assert answer.status_code == 401
    assert next_of(answer) == requested
    assert answer.headers["WWW-Authenticate"]


@APPS
def test_caddy_and_traefik_get_a_redirect_for_pages_and_401_otherwise(app):
    answer = asked_by_caddy(Browser(app))
    assert answer.status_code == 302
    assert next_of(answer) == f"{WIKI}/page?a=1&b=2"
    assert asked_by_caddy(Browser(app), **{"X-Forwarded-Method": "POST"}).status_code == 401
    assert asked_by_caddy(Browser(app), Accept="application/json").status_code == 401
    other_port = asked_by_caddy(Browser(app), host="shop.example.com:8443")
    assert next_of(other_port) == "https://shop.example.com:8443/page?a=1&b=2"


@APPS
def test_app_hosts_are_trusted_only_for_forward_auth(app):
    browser = Browser(app)
    other = {"X-Forwarded-Host": "wiki.example.com", "X-Forwarded-Proto": "https"}
    assert browser.send("GET", "/auth/login", headers=other).status_code == 400
    assert asked_by_caddy(browser, host="evil.example.com").status_code == 400


@APPS
@pytest.mark.parametrize(
    "page",
    [
        "https://evil.example/",
        "https://evil.example.com/",
        "https://wiki.example.com.evil.test/",
        "https://wiki.example.com@evil.test/",
        "https://wiki.example.com:8443/",
        "https://shop.example.com/",
        "http://wiki.example.com/",
        "//wiki.example.com/",
        "https:wiki.example.com/",
        "https://wiki.example.com",
        "https://wiki.example.com/\\@evil.test",
        "https://wiki.example.com/ x",
        "https://wiki.example.com/\nx",
        "javascript:alert(1)//https://wiki.example.com/",
        f"https://wiki.example.com/{'a' * 2000}",
    ],
)
def test_sign_in_redirects_only_to_known_hosts(app, ada, page):
    if page.isprintable():
        assert next_of(ask(Browser(app), **{"X-Original-URL": page})) is None
    browser = Browser(app)
    assert signed_in_from(browser, ada, page).location == "/account"
    assert browser.send("GET", "/auth/login", query_string={"next": page}).location == "/account"


def signed_in_from(browser, person, page):
    """Sign in on the page that another app redirected to."""
    token = browser.token()
    data = {"csrf_token": token, "email": person.email, "password": person.password, "next": page}
    return browser.send("POST", "/auth/login", data=data, headers={"Origin": OURS})


@APPS
def test_app_cookie_signs_in_to_the_app_and_nothing_else(app, ada):
    browser = Browser(app)
    requested = f"{WIKI}/page?a=1&b=2"
    answer = signed_in_from(browser, ada, requested)
    assert (answer.status_code, answer.location) == (302, requested)
    (cookie,) = [header for header in answer.headers.getlist("Set-Cookie") if header.startswith("__Secure-forward=")]
    for attribute in ("Domain=example.com", "Secure", "HttpOnly", "Path=/", "SameSite=Lax"):
        assert attribute in cookie.split("; ")
    (session,) = [header for header in answer.headers.getlist("Set-Cookie") if header.startswith("__Host-session=")]
    assert "Domain" not in session

    only = {"Cookie": cookie.partition(";")[0]}
    assert asked_by_caddy(holder(app), **only).headers["X-Auth-User"] == str(ada.id)
    assert holder(app).send("GET", "/account", headers=only).status_code == 302
    assert holder(app).send("GET", "/api/v1/users/me", headers=only).status_code == 401
    # A signed-in user is redirected at once, with a new cookie.
    again = browser.send("GET", "/auth/login", query_string={"next": requested})
    assert again.location == requested
    assert any("__Secure-forward=" in header for header in again.headers.getlist("Set-Cookie"))


@APPS
def test_sign_out_ends_the_app_session_too(app, ada):
    browser = Browser(app)
    answer = signed_in_from(browser, ada, f"{WIKI}/")
    (cookie,) = [header for header in answer.headers.getlist("Set-Cookie") if header.startswith("__Secure-forward=")]
    only = {"Cookie": cookie.partition(";")[0]}
    out = browser.send(
        "POST", "/auth/logout", data={"csrf_token": browser.token_on("/account")}, headers={"Origin": OURS}
    )
    assert any("__Secure-forward=;" in header and "Max-Age=0" in header for header in out.headers.getlist("Set-Cookie"))
    assert asked_by_caddy(holder(app), **only).status_code == 302


def cookie_of(answer, name):
    (cookie,) = [header for header in answer.headers.getlist("Set-Cookie") if header.startswith(f"{name}=")]
    return cookie.partition(";")[0]


@APPS
def test_expired_app_cookie_does_not_hide_a_valid_session(app, ada, clock):
    expired = cookie_of(signed_in_from(Browser(app), ada, f"{WIKI}/"), "__Secure-forward")
    clock.advance(hours=13)
    good = cookie_of(signed_in_from(Browser(app), ada, f"{WIKI}/"), "__Host-session")
    assert asked_by_caddy(holder(app), Cookie=f"{expired}; {good}").status_code == 200
    assert asked_by_caddy(holder(app), Cookie=expired).status_code == 302


@APPS
@pytest.mark.parametrize("value", ["", "x", "W1sxLDFdXQ.x", "WzEsMV0.AAAA"])
def test_forged_app_cookie_is_ignored(app, ada, value):
    assert asked_by_caddy(holder(app), Cookie=f"__Secure-forward={value}").status_code == 302


@APPS
def test_form_action_allows_the_app_hosts(app):
    policy = Browser(app).send("GET", "/auth/login").headers["Content-Security-Policy"]
    assert f"form-action 'self' {WIKI} https://shop.example.com:8443;" in policy


def test_other_apps_work_during_maintenance(app, ada, flask):
    browser = Browser(app)
    browser.login(ada)
    flask("maintenance", "on")
    assert browser.get("/account").status_code == 503
    assert ask(browser).status_code == 200


def test_impersonating_administrator_is_refused(app, admin, ada):
    browser = Browser(app)
    browser.login(admin)
    browser.confirm(admin.password)
    browser.post(f"/users/{ada.id}/impersonate", {"reason": "to help"}, page=f"/users/{ada.id}")
    assert "You're signed in as" in browser.get("/account").text
    assert ask(browser).status_code == 403


def test_non_ascii_address_is_encoded_in_headers(app, people):
    browser = Browser(app)
    browser.login(people.add("zoë%1@example.com"))
    assert ask(browser).headers["X-Auth-Email"] == "zo%C3%AB%251@example.com"


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"COOKIE_DOMAIN": "example.org"}, "COOKIE_DOMAIN must be accounts.example.com"),
        ({"COOKIE_DOMAIN": "ample.com"}, "COOKIE_DOMAIN must be accounts.example.com"),
        ({"COOKIE_DOMAIN": "com"}, "COOKIE_DOMAIN: use a domain like"),
        ({"COOKIE_DOMAIN": "10.0.0.1"}, "COOKIE_DOMAIN: use a domain like"),
        ({"RETURN_HOSTS": "wiki.example.com"}, "gets no cookie"),
        ({"RETURN_HOSTS": "wiki.example.org", "COOKIE_DOMAIN": "example.com"}, "gets no cookie"),
        ({"RETURN_HOSTS": "https://wiki.example.com"}, "RETURN_HOSTS: list hosts like"),
        ({"RETURN_HOSTS": "wiki.example.com:x"}, "RETURN_HOSTS: list hosts like"),
        ({"RETURN_HOSTS": "*.example.com"}, "RETURN_HOSTS: list hosts like"),
    ],
)
def test_invalid_app_hosts_stop_the_start(monkeypatch, tmp_path, settings, words):
    for name, value in ({"ENVIRONMENT": "testing", "BASE_URL": OURS} | settings).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=words):
        load_settings(tmp_path / ".env")


def test_app_hosts_are_read_from_a_list(tmp_path):
    configured = Settings(
        environment="testing",
        base_url=OURS,
        cookie_domain=".Example.com",
        return_hosts="Wiki.example.com:443, bücher.example.com",
    )
    assert configured.cookie_domain == "example.com"
    assert configured.return_origins == [WIKI, "https://xn--bcher-kva.example.com"]


def test_anonymous_request_gets_no_identity_header(app, people, flask):
    person = people.add("bare@example.com")
    flask("users", "unassign", person.email, "member")
    browser = Browser(app)
    browser.login(person)
    identity = {name: value for name, value in ask(browser).headers.items() if name.startswith("X-Auth")}
    assert identity == {"X-Auth-User": str(person.id), "X-Auth-Email": person.email, "X-Auth-Roles": "-"}
    assert flask("roles", "create", "--", "-").exit_code == 1


@APPS
def test_app_cookie_is_refused_while_impersonating(app, admin, ada):
    browser = Browser(app)
    only = {"Cookie": cookie_of(signed_in_from(browser, admin, f"{WIKI}/"), "__Secure-forward")}
    assert asked_by_caddy(holder(app), **only).status_code == 200
    browser.post(f"/users/{ada.id}/impersonate", {"reason": "help"}, headers={"Origin": OURS})
    assert asked_by_caddy(holder(app), **only).status_code == 403


@APPS
@pytest.mark.parametrize("scheme", ["ws", "wss", "https"])
@pytest.mark.parametrize("upgrade", [{}, {"Connection": "Upgrade", "Upgrade": "websocket"}])
def test_websocket_handshake_is_answered_like_other_requests(app, ada, scheme, upgrade):
    browser, stranger = Browser(app), Browser(app)
    browser.sign_in(ada)
    headers = {"X-Forwarded-Proto": scheme, "X-Forwarded-Host": "wiki.example.com", "X-Forwarded-Uri": "/ws", **upgrade}
    assert ask(stranger, **headers).status_code == 401
    answer = ask(browser, **headers)
    assert (answer.status_code, answer.headers["X-Auth-Email"]) == (200, ada.email)


@APPS
def test_script_that_accepts_html_gets_no_redirect(app):
    assert asked_by_caddy(Browser(app)).status_code == 302
    assert asked_by_caddy(Browser(app), **{"Sec-Fetch-Mode": "navigate"}).status_code == 302
    assert asked_by_caddy(Browser(app), **{"Sec-Fetch-Mode": "cors"}).status_code == 401
