"""Bad input gets a clear 4xx that says what to do, and never a 500."""

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
    """A browser that can open every form."""
    client.login(ada)
    return client


def fill_in(visitor, path, **values):
    if path not in SIGNED_IN and not path.startswith("/account"):
        visitor.logout()
    typed = {field: GOOD[field] for field in FORMS[path]} | values
    # Written by hand, because a test client cannot send invalid requests.
    body = urlencode({"csrf_token": visitor.token_on(path), **typed}, doseq=True, errors="surrogatepass")
    return visitor.send("POST", path, data=body, content_type="application/x-www-form-urlencoded")


@pytest.mark.databases("sqlite", "postgresql")
@pytest.mark.parametrize(("path", "field"), FIELDS)
def test_every_field_refuses_control_characters(visitor, path, field):
    for name, value in BAD.items():
        answer = fill_in(visitor, path, **{field: value})

        assert answer.status_code in {413, 422}, (name, answer.status_code)
        if answer.status_code == 422:
            page = Page(answer.text)
            assert page.has(f"#{field}-error"), name
            assert page.find(f"#{field}").attrs.get("aria-invalid") == "true"
            assert page.has(".summary"), name


@pytest.mark.parametrize(("path", "field"), FIELDS)
def test_invalid_utf8_causes_no_server_error(visitor, path, field):
    assert fill_in(visitor, path, **{field: b"ada\xff\xfe@example.com"}).status_code < 500
    typed = {name: GOOD[name] for name in FORMS[path]} | {field: io.BytesIO(b"ada\xff\xfe@example.com")}
    parts = {"csrf_token": visitor.token_on(path), **typed}
    assert visitor.send("POST", path, data=parts, content_type="multipart/form-data").status_code < 500


@pytest.mark.parametrize(("path", "field"), [field for field in FIELDS if field[1] != "name"])
def test_every_required_field_reports_when_it_is_missing(visitor, path, field):
    for empty in ("", None):
        answer = fill_in(visitor, path, **{field: empty} if empty is not None else {field: []})

        assert answer.status_code == 422
        assert re.search(r"Enter|Choose", Page(answer.text).text(f"#{field}-error"))


@pytest.mark.parametrize(("path", "field"), FIELDS)
def test_duplicate_field_is_refused(visitor, path, field):
    answer = fill_in(visitor, path, **{field: [GOOD[field], GOOD[field]]})

    assert answer.status_code == 422
    assert "Send this field only once." in Page(answer.text).text(f"#{field}-error")


@pytest.mark.parametrize(("path", "field"), [field for field in FIELDS if "password" not in field[1]])
def test_line_breaks_are_refused_in_single_line_fields(visitor, path, field):
    for value in ("a@example.com\r\nBcc: eve@example.com", "a\nb@example.com", "Ada\u2028Lovelace@example.com"):
        assert fill_in(visitor, path, **{field: value}).status_code == 422


@pytest.mark.parametrize("path", FORMS)
def test_body_of_10_megabytes_is_refused_at_once(visitor, path):
    answer = fill_in(visitor, path, padding="x" * 10_000_000)

    assert answer.status_code == 413
    assert "Too large" in Page(answer.text).text("h1")


def test_body_without_content_length_is_refused(client):
    answer = client.send("POST", "/auth/login", headers={"Transfer-Encoding": "chunked"})

    assert answer.status_code == 411
    assert "Content-Length" in answer.text


@pytest.mark.parametrize("path", FORMS)
def test_many_fields_files_or_garbage_cause_no_server_error(visitor, path):
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
def test_wrong_method_returns_405_with_allowed_methods(visitor, method):
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
def test_strange_path_causes_no_server_error(visitor, path):
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
def test_strange_headers_cause_no_server_error(client, ada, headers):
    for method in ("GET", "POST"):
        assert client.send(method, "/auth/login", headers=headers).status_code < 500


def test_strange_user_agent_is_displayed_safely(client, ada):
    client.user_agent = "<script>alert(1)</script>" + "🦊" * 300
    client.login(ada)

    assert client.page("/account/sessions").has("main li")
    assert client.page("/account/activity").has("main li")


@pytest.mark.parametrize("remote", ["", "unix:", "not an address", "fe80::1%eth0", "::ffff:203.0.113.7"])
def test_strange_client_address_causes_no_server_error(client, ada, remote):
    client.address = remote

    assert client.login(ada).status_code == 302
    assert client.get("/account/sessions").status_code == 200


# ── input is kept ──


def filled(page):
    """Return the value of every field of a page's form, by name."""
    held = {}
    for field in page.find_all(
        ", ".join(f"main form[method=post] {value}" for value in ("input", "select", "textarea"))
    ):
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
    """An administrator's browser with a recent confirmation."""
    client.sign_in(admin)
    client.confirm(admin.password)
    return client


@pytest.mark.parametrize("path", EVERY_KIND)
def test_form_with_an_expired_csrf_token_keeps_every_field(grace, ada, path):
    at = path.format(ada=ada.id)
    before = filled(grace.page(at))
    typed = {name: value if isinstance(value, list) else [value] for name, value in EVERY_KIND[path].items()}
    assert set(typed) <= set(before)
    answer = grace.send("POST", at, data={"csrf_token": "expired", **EVERY_KIND[path]})
    assert answer.status_code == 400
    assert "What you entered is still here" in answer.text
    shown = {name: sorted(value) for name, value in filled(Page(answer.text)).items()}
    expected = {name: [] for name in before if before[name] == [] or name in typed} | typed
    assert {name: shown.get(name, []) for name in typed} == {name: sorted(expected[name]) for name in typed}


@pytest.mark.settings(limit_scale=1, limit_register="1 per hour", limit_password="1 per hour")
def test_rate_limited_form_keeps_input(app, client):
    typed = {"email": "new@example.com", "name": "New", "password": "x"}
    client.post("/auth/register", typed)
    answer = client.post("/auth/register", typed)
    assert (answer.status_code, int(answer.headers["Retry-After"]) > 0) == (429, True)
    assert "What you entered is still here" in answer.text
    assert filled(Page(answer.text)) == {"name": ["New"], "email": ["new@example.com"]}
    elsewhere = client.post("/auth/register", typed, headers={"Origin": "https://evil.test"})
    assert (elsewhere.status_code, "new@example.com" in elsewhere.text) == (429, False)


@pytest.mark.parametrize(("path", "field"), [("/auth/confirm", "password"), ("/account/password", "current_password")])
def test_busy_password_form_keeps_input(visitor, path, field):
    for _ in range(8):
        answer = fill_in(visitor, path, **{field: "wrong wrong wrong"})
    assert (answer.status_code, int(answer.headers["Retry-After"]) > 0) == (429, True)
    assert "Too many attempts" in Page(answer.text).text(".summary")
    assert f'name="{field}"' in answer.text


@pytest.mark.parametrize("path", ["/account/api-keys/999999", "/users/999999/edit", "/admin/roles/nothing"])
def test_post_without_token_to_an_unknown_page_causes_no_server_error(grace, path):
    assert grace.send("POST", path, data={"name": "x"}).status_code in {400, 404}


@pytest.mark.databases("sqlite", "postgresql")
def test_overlong_bulk_reason_is_refused_and_kept(grace, ada):
    long = "because " * 700
    answer = grace.post("/users/bulk", {"users": [ada.id], "act": "deactivate", "reason": long, "go": "y"})
    assert (answer.status_code, "at most 500 characters" in answer.text) == (422, True)
    assert grace.page(f"/users/{ada.id}").has("main")
