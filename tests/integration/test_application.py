"""Work that is done once instead of on every request: template constants, verified cookies and tokens."""

import pytest

from app.web.application import Environment
from tests.support.browser import Browser

pytestmark = pytest.mark.databases("sqlite")


def compiled(app, text):
    with app.test_request_context("/"):
        return str(app.jinja_env.compile(text, raw=True))


def test_templates_use_our_environment_whatever_extensions_touch_first(app):
    assert type(app.jinja_env) is Environment
    assert app.jinja_env.from_string("").__class__.__module__ == "app.web.application"


@pytest.mark.settings(terms_url="https://example.com/?a=1&b=2", base_url="https://example.com/accounts")
def test_constants_are_folded_into_the_template(app):
    code = compiled(app, "{{ url_for('auth.login') }} {{ site.terms_url }} {{ asset('gatehouse.css') }}")
    assert "/accounts/auth/login https://example.com/?a=1&amp;b=2 /accounts/static/gatehouse.css?v=" in code


@pytest.mark.parametrize(
    ("text", "stays"),
    [
        ("{{ url_for('users.show', user_id=1) }}", "user_id"),
        ("{{ url_for(endpoint) }}", "endpoint"),
        ("{{ url_for('no.such_endpoint') }}", "no.such_endpoint"),
        ("{{ asset('no-such-file') }}", "no-such-file"),
        ("{{ csrf_token() }}", "csrf_token"),
        ("{% for a, b in [(1, 2)] %}{{ loop.index }}{% endfor %}", "loop"),
        ("{% for a, b in pairs %}{{ a }}{% endfor %}", "pairs"),
    ],
)
def test_request_dependent_values_stay_expressions(app, text, stays):
    assert stays in compiled(app, text)


def test_unrolled_loop_renders_the_same(app):
    text = "{% for a, b in [('x', 1), ('<y>', 2)] %}{% set c = b * 2 %}{{ a }}{{ c }}{% if b == n %}!{% endif %} {% endfor %}"
    with app.test_request_context("/"):
        assert app.jinja_env.from_string(text).render(n=2) == "x2 &lt;y&gt;4! "


def test_remembered_cookie_is_refused_when_altered_or_ended(app, ada):
    browser = Browser(app)
    browser.sign_in(ada)
    for _ in range(2):
        assert browser.get("/account").status_code == 200
    cookie = browser.cookie("session").value

    def answer_to(value):
        return app.test_client(use_cookies=False).get("/account", headers={"Cookie": f"session={value}"}).status_code

    assert answer_to(cookie) == 200
    signed, _, signature = cookie.rpartition(".")
    assert answer_to(f"{signed}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}") == 302
    browser.post("/auth/logout")
    assert answer_to(cookie) == 302


def test_csrf_token_is_stable_for_a_minute_and_bound_to_its_session(app, ada):
    browser, other = Browser(app), Browser(app)
    browser.sign_in(ada)
    other.sign_in(ada)
    browser.get("/account")  # The first page of a session creates the session's secret.
    first = browser.token_on("/account")
    assert browser.token_on("/account") == first
    assert other.token_on("/account") != first
