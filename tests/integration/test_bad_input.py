"""Whatever a client sends, the answer is a clear 4xx with what to do; nothing makes a 500."""

import io
import re
from urllib.parse import urlencode

import pytest

from tests.support.pages import Page, attributes

pytestmark = pytest.mark.databases("sqlite")

GOOD = {
    "email": "new@example.com",
    "name": "Ada",
    "password": "a quieter harbour",
    "current_password": "a quieter harbour",
}
FORMS = {
    "/auth/register": ["name", "email", "password"],
    "/auth/login": ["email", "password"],
    "/auth/resend-verification": ["email"],
    "/auth/forgot-password": ["email"],
    "/auth/confirm": ["password"],
    "/account": ["name"],
    "/account/email": ["email"],
    "/account/password": ["current_password", "password"],
}
SIGNED_IN = {"/auth/confirm", "/account", "/account/email", "/account/password"}
FIELDS = [(path, field) for path, fields in FORMS.items() for field in fields]

BAD = {
    "nul": "a\x00b@example.com",
    "escape": "\x1b[31mada@example.com",
    "long": "x" * 100_000,
}


@pytest.fixture
def visitor(client, ada):
    """A browser that is let in wherever a form is."""
    client.login(ada)
    return client


def fill_in(visitor, path, **values):
    if path not in SIGNED_IN and not path.startswith("/account"):
        visitor.logout()
    typed = {field: GOOD[field] for field in FORMS[path]} | values
    # Spelt by hand, because a test client would not send what no browser sends.
    body = urlencode({"csrf_token": visitor.token_on(path), **typed}, doseq=True, errors="surrogatepass")
    return visitor.send("POST", path, data=body, content_type="application/x-www-form-urlencoded")


@pytest.mark.databases("sqlite", "postgresql")
@pytest.mark.parametrize(("path", "field"), FIELDS)
def test_every_field_refuses_what_no_keyboard_makes(visitor, path, field):
    for name, value in BAD.items():
        answer = fill_in(visitor, path, **{field: value})

        assert answer.status_code in {413, 422}, (name, answer.status_code)
        if answer.status_code == 422:
            page = Page(answer.text)
            assert page.has(f"#{field}-error"), name
            assert page.find(f"#{field}").attrs.get("aria-invalid") == "true"
            assert page.has(".summary"), name


@pytest.mark.parametrize(("path", "field"), FIELDS)
def test_bytes_that_are_no_text_are_no_error_of_ours(visitor, path, field):
    assert fill_in(visitor, path, **{field: b"ada\xff\xfe@example.com"}).status_code < 500
    typed = {name: GOOD[name] for name in FORMS[path]} | {field: io.BytesIO(b"ada\xff\xfe@example.com")}
    parts = {"csrf_token": visitor.token_on(path), **typed}
    assert visitor.send("POST", path, data=parts, content_type="multipart/form-data").status_code < 500


@pytest.mark.parametrize(("path", "field"), [each for each in FIELDS if each[1] != "name"])
def test_every_required_field_says_when_it_is_missing(visitor, path, field):
    for empty in ("", None):
        answer = fill_in(visitor, path, **{field: empty} if empty is not None else {field: []})

        assert answer.status_code == 422
        assert re.search(r"Enter|Choose", Page(answer.text).text(f"#{field}-error"))


@pytest.mark.parametrize(("path", "field"), FIELDS)
def test_a_field_that_is_sent_twice_is_refused(visitor, path, field):
    answer = fill_in(visitor, path, **{field: [GOOD[field], GOOD[field]]})

    assert answer.status_code == 422
    assert "Send this field only once." in Page(answer.text).text(f"#{field}-error")


@pytest.mark.parametrize(("path", "field"), [each for each in FIELDS if "password" not in each[1]])
def test_line_breaks_are_no_part_of_a_field(visitor, path, field):
    for value in ("a@example.com\r\nBcc: eve@example.com", "a\nb@example.com", "Ada\u2028Lovelace@example.com"):
        assert fill_in(visitor, path, **{field: value}).status_code == 422


@pytest.mark.parametrize("path", FORMS)
def test_a_body_of_10_megabytes_is_refused_at_once(visitor, path):
    answer = fill_in(visitor, path, padding="x" * 10_000_000)

    assert answer.status_code == 413
    assert "Too large" in Page(answer.text).text("h1")


def test_a_body_that_does_not_say_its_length_is_refused(client):
    answer = client.send("POST", "/auth/login", headers={"Transfer-Encoding": "chunked"})

    assert answer.status_code == 411
    assert "Content-Length" in answer.text


@pytest.mark.parametrize("path", FORMS)
def test_a_thousand_fields_a_file_or_nonsense_are_no_error_of_ours(visitor, path):
    token = visitor.token()
    bodies = [
        {"data": {"csrf_token": token, **{f"field{number}": "x" for number in range(1000)}}},
        {"data": {"csrf_token": token, FORMS[path][0]: (io.BytesIO(b"x" * 100), "x.txt")}},
        {"data": b"\xff\xfe\x00=%%%&&&===", "content_type": "application/x-www-form-urlencoded"},
        {"data": b"{", "content_type": "application/json"},
        {"data": b"--x\r\n", "content_type": "multipart/form-data; boundary=x"},
        {"data": b"x", "content_type": "multipart/form-data"},
        {"data": b"x", "content_type": "\x00nonsense"},
        {"data": b""},
    ]
    for body in bodies:
        assert visitor.send("POST", path, **body).status_code < 500, body


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "X" * 500])
def test_a_method_that_a_page_does_not_know_is_named_with_those_it_does(visitor, method):
    answer = visitor.send(method, "/auth/login")

    assert answer.status_code == 405
    assert {"GET", "HEAD", "OPTIONS", "POST"} == set(answer.headers["Allow"].split(", "))


@pytest.mark.parametrize(
    "path",
    [
        "/%00",
        "/%ff",
        "/account/%2e%2e/users",
        "/account//email",
        "/" + "x" * 5000,
        "/account?before=%00&x=%ff",
        "/;a=b",
    ],
    ids=lambda path: path[:30],
)
def test_a_strange_path_is_no_error_of_ours(visitor, path):
    assert visitor.get(path).status_code in ({400} if "=%ff" in path else {200, 302, 308, 404})


@pytest.mark.parametrize(
    "headers",
    [
        {"User-Agent": "x" * 8000},
        {"User-Agent": ""},
        {"User-Agent": "\x7f\x01 \udcff".encode("latin-1", "replace").decode("latin-1")},
        {"Cookie": "session=; device=; csrf=" + "x" * 4000},
        {"Cookie": "device=\x01\x02; session=a.b.c"},
        {"X-Request-ID": "x" * 5000},
        {"X-Forwarded-For": "evil, 1.2.3.4"},
        {"Accept-Language": "x" * 4000},
        {"Range": "bytes=0-1"},
        {"If-None-Match": "*"},
        {"Content-Length": "-5"},
        {"Origin": "\x00"},
        {"Referer": "https://evil.test"},
    ],
    ids=lambda headers: str(headers)[:40],
)
def test_strange_headers_are_no_error_of_ours(client, ada, headers):
    for method in ("GET", "POST"):
        assert client.send(method, "/auth/login", headers=headers).status_code < 500


def test_a_strange_user_agent_can_be_shown_again(client, ada):
    client.user_agent = "<script>alert(1)</script>" + "🦊" * 300
    client.login(ada)

    assert client.page("/account/sessions").has("main li")
    assert client.page("/account/activity").has("main li")


@pytest.mark.parametrize("remote", ["", "unix:", "not an address", "fe80::1%eth0", "::ffff:203.0.113.7"])
def test_a_strange_client_address_is_no_error_of_ours(client, ada, remote):
    client.address = remote

    assert client.login(ada).status_code == 302
    assert client.get("/account/sessions").status_code == 200


# ── what was typed is kept ──


def filled(page):
    """What every field of a page's form holds, by name."""
    held = {}
    for field in page.find_all(", ".join(f"main form[method=post] {each}" for each in ("input", "select", "textarea"))):
        attrs = attributes(field)
        name, kind = attrs.get("name"), attrs.get("type", field.name)
        if name is None or name in {"csrf_token", "version", "credential"} or kind in {"submit", "password", "file"}:
            continue
        if kind == "select":
            held[name] = [attributes(option)["value"] for option in field.query("option[selected]")]
        elif kind in {"checkbox", "radio"}:
            held.setdefault(name, [])
            held[name] += [attrs.get("value", "on")] if "checked" in attrs else []
        else:
            held[name] = [field.to_text() if kind == "textarea" else attrs.get("value", "")]
    return held


EVERY_KIND = {
    "/users/{ada}/edit": {"name": "Ada King", "email": "new@example.com", "roles": ["manager"], "shows_roles": "y"},
    "/users/{ada}/deactivate": {"reason": "On leave,\nsince today", "until": "2099-01-31"},
    "/users/new": {"email": "new@example.com", "name": "New", "roles": ["manager", "member"]},
    "/admin/roles/new": {"name": "clerk", "description": "Reads.", "permissions": ["users:read", "audit:read"]},
    "/admin/settings": {"registration": "invite", "announcement": "Soon", "maintenance": "y"},
    "/account/api-keys": {"name": "Reporter", "scopes": ["users:read"], "days": "30"},
    "/account": {"name": "Grace King"},
}


@pytest.fixture
def grace(client, admin):
    """An administrator's browser, confirmed just now."""
    client.sign_in(admin)
    client.confirm(admin.password)
    return client


@pytest.mark.parametrize("path", EVERY_KIND)
def test_a_form_whose_token_has_expired_keeps_every_kind_of_field(grace, ada, path):
    at = path.format(ada=ada.id)
    before = filled(grace.page(at))
    typed = {name: value if isinstance(value, list) else [value] for name, value in EVERY_KIND[path].items()}
    assert set(typed) <= set(before)
    answer = grace.send("POST", at, data={"csrf_token": "expired", **EVERY_KIND[path]})
    assert answer.status_code == 400
    assert "What you entered is still here" in answer.text
    shown = {name: sorted(value) for name, value in filled(Page(answer.text)).items()}
    wanted = {name: [] for name in before if before[name] == [] or name in typed} | typed
    assert {name: shown.get(name, []) for name in typed} == {name: sorted(wanted[name]) for name in typed}


@pytest.mark.settings(limit_scale=1, limit_register="1 per hour", limit_password="1 per hour")
def test_a_form_that_has_to_wait_keeps_what_was_typed(app, client):
    typed = {"email": "new@example.com", "name": "New", "password": "x"}
    client.post("/auth/register", typed)
    answer = client.post("/auth/register", typed)
    assert (answer.status_code, int(answer.headers["Retry-After"]) > 0) == (429, True)
    assert "What you entered is still here" in answer.text
    assert filled(Page(answer.text)) == {"name": ["New"], "email": ["new@example.com"]}
    elsewhere = client.post("/auth/register", typed, headers={"Origin": "https://evil.test"})
    assert (elsewhere.status_code, "new@example.com" in elsewhere.text) == (429, False)


@pytest.mark.parametrize(("path", "field"), [("/auth/confirm", "password"), ("/account/password", "current_password")])
def test_whoever_has_to_wait_for_a_password_keeps_the_form(visitor, path, field):
    for _ in range(8):
        answer = fill_in(visitor, path, **{field: "wrong wrong wrong"})
    assert (answer.status_code, int(answer.headers["Retry-After"]) > 0) == (429, True)
    assert "Too many attempts" in Page(answer.text).text(".summary")
    assert f'name="{field}"' in answer.text


@pytest.mark.parametrize("path", ["/account/api-keys/999999", "/users/999999/edit", "/admin/roles/nothing"])
def test_a_post_without_a_token_to_a_page_that_is_not_there_is_no_error_of_ours(grace, path):
    assert grace.send("POST", path, data={"name": "x"}).status_code in {400, 404}


@pytest.mark.databases("sqlite", "postgresql")
def test_a_long_reason_for_several_is_refused_with_what_was_typed(grace, ada):
    long = "because " * 700
    answer = grace.post("/users/bulk", {"users": [ada.id], "act": "deactivate", "reason": long, "go": "y"})
    assert (answer.status_code, "at most 500 characters" in answer.text) == (422, True)
    assert grace.page(f"/users/{ada.id}").has("main")
