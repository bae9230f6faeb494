"""Where one may be sent: only to pages of our own, as a browser reads an address and not as a library does."""

import pytest

from app.web.redirects import is_own_path, next_page

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
    "/account?x=\\",
    "/\u2215/evil.test",
    "\uff0f\uff0fevil.test",
    "/\u3002evil.test",
    "/\ud800",
    "/nowhere",
    "/static/gatehouse.css",
    "/auth/logout",
    "/account/sessions/end-others",
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
def test_a_page_of_ours_is_where_one_goes(app, target):
    with app.test_request_context():
        assert is_own_path(target)
        assert next_page(target, otherwise="account.profile") == target


@pytest.mark.parametrize("target", NOT_OURS, ids=lambda target: ascii(target[:40]))
def test_anything_else_leads_to_the_usual_page(app, target):
    with app.test_request_context():
        assert not is_own_path(target)
        assert next_page(target, otherwise="account.profile") == "/account"


def test_without_a_wish_one_goes_to_the_usual_page(app):
    with app.test_request_context():
        assert next_page(None, otherwise="account.profile") == "/account"
