"""Whatever a client sends, the answer is a clear 4xx with what to do; nothing makes a 500."""

import io
import re
from urllib.parse import urlencode

import pytest

from tests.support.pages import Page

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
    assert "Send this once." in Page(answer.text).text(f"#{field}-error")


@pytest.mark.parametrize(("path", "field"), [each for each in FIELDS if "password" not in each[1]])
def test_line_breaks_are_no_part_of_a_field(visitor, path, field):
    for value in ("a@example.com\r\nBcc: eve@example.com", "a\nb@example.com", "Ada\u2028Lovelace@example.com"):
        assert fill_in(visitor, path, **{field: value}).status_code == 422


@pytest.mark.parametrize("path", FORMS)
def test_a_body_of_10_megabytes_is_refused_at_once(visitor, path):
    answer = fill_in(visitor, path, padding="x" * 10_000_000)

    assert answer.status_code == 413
    assert "too large" in Page(answer.text).text("h1")


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
