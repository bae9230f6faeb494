"""Sign-in with a provider: its claims are accepted only as far as they can be verified."""

import base64
import hmac
import json
from types import SimpleNamespace
from urllib.parse import parse_qs, unquote, unquote_plus, urlsplit

import pytest
from flask import Response, redirect
from joserfc.jwk import ECKey, RSAKey

from app import _refuse_if_used
from app.core.extensions import db
from app.core.principal import OPERATOR
from app.core.settings import SettingsError
from app.invitations.service import Invitations
from app.oauth import openid
from app.oauth.clients import client_of
from app.oauth.models import OAuthIdentity
from app.oauth.openid import ProviderRefused
from app.unit_of_work import unit_of_work
from app.users.models import User
from app.users.services.roles import RoleSpec
from tests.support.authenticator import set_up
from tests.support.browser import Browser
from tests.support.mailbox import Mailbox
from tests.support.pages import attributes
from tests.support.people import People
from tests.support.provider import CLIENT_ID, CLIENT_SECRET, ada
from tests.support.slow_server import slow_server

START = "/auth/oauth/acme"
TO_CONNECT = "/auth/login?next=/account/connections?connect%3D"


@pytest.fixture
def site(keep_app, provider):
    """Create an application with this provider; settings of the provider by `acme_...`."""

    def make(*providers, **settings):
        own = {name.removeprefix("acme_"): settings.pop(name) for name in [*settings] if name.startswith("acme_")}
        app = keep_app(oauth_providers=[*providers] or [provider.settings(**own)], **settings)
        for name in (
            "oauth_clients",
            "oauth_at_once",
        ):  # Clear an earlier test's state: documents and occupied slots.
            app.extensions.pop(name, None)
        return app

    return make


def begin(browser, path=START):
    """Start sign-in; return the provider's URL."""
    answer = browser.get(path)
    assert answer.status_code == 303, answer.text
    return answer.location


def sign_in(browser, provider, path=START, person=0):
    return browser.get(provider.answer(begin(browser, path), person))


def users(app):
    with app.app_context():
        return {user.email: user for user in db.session.query(User)}


def test_confirmed_address_creates_an_account_and_signs_in_again(site, provider):
    app = site()
    browser = Browser(app)
    answer = sign_in(browser, provider, f"{START}?next=/account/sessions")
    assert (answer.status_code, answer.location) == (302, "/account/sessions")
    assert browser.is_signed_in()
    (user,) = users(app).values()
    assert (user.email, user.name, user.is_verified(), user.hashed_password) == (
        "ada@corp.example",
        "Ada",
        True,
        None,
    )
    again = Browser(app)
    assert sign_in(again, provider).location == "/account"
    assert len(users(app)) == 1


@pytest.mark.databases("sqlite")
def test_authorization_request_follows_the_standards(site, provider):
    browser = Browser(site())
    url = begin(browser)
    query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    assert query == {
        "response_type": "code",
        "client_id": CLIENT_ID,
        "redirect_uri": f"{browser.app.extensions['settings'].public_url}/auth/oauth/acme/callback",
        "scope": "openid email profile",
        "state": query["state"],
        "nonce": query["nonce"],
        "code_challenge": query["code_challenge"],
        "code_challenge_method": "S256",
    }
    assert len({query["state"], query["nonce"], query["code_challenge"]}) == 3


def test_changed_email_of_the_same_subject_keeps_the_account(site, provider):
    app = site()
    sign_in(Browser(app), provider)
    provider.people = [ada(email="other@corp.example")]
    sign_in(Browser(app), provider)
    assert [*users(app)] == ["ada@corp.example"]
    with app.app_context():
        assert db.session.query(OAuthIdentity).one().email == "other@corp.example"


def test_renamed_provider_keeps_its_connections(site, provider):
    sign_in(Browser(site(provider.settings("old"))), provider, "/auth/oauth/old")
    app = site(provider.settings("new"))
    browser = Browser(app)
    assert sign_in(browser, provider, "/auth/oauth/new").location == "/account"
    assert len(users(app)) == 1
    assert "Sign in to New again" in browser.get("/auth/confirm").text


# ── callbacks are bound to browser, time and provider ──


def callback(browser, **values):
    return browser.send("GET", f"{START}/callback", query_string=values)


def is_nobody(browser, answer, status=400):
    assert answer.status_code == status, answer.text
    assert "Couldn&#39;t sign in with" in answer.text
    assert not browser.is_signed_in()
    return True


def test_callback_not_started_in_this_browser_is_refused(site, provider):
    app = site()
    mine, other = Browser(app), Browser(app)
    url = provider.answer(begin(mine))
    assert is_nobody(other, other.get(url))
    begin(other)
    assert is_nobody(other, other.get(url))
    assert is_nobody(other, callback(other))
    assert is_nobody(other, callback(other, state="", code="x"))
    assert mine.get(url).location == "/account"
    assert not [request for request in provider.asked if request == "POST /token"][1:]


def test_callback_works_once_even_with_a_replayed_cookie(site, provider):
    app = site()
    browser = Browser(app)
    url = provider.answer(begin(browser))
    copy = browser.cookie("session").value
    assert browser.get(url).location == "/account"
    browser.logout()
    thief = Browser(app)
    thief.http.set_cookie("session", copy, domain="gatehouse.test")
    provider.asked.clear()
    assert is_nobody(thief, thief.get(url))
    assert provider.asked == []


@pytest.mark.databases("sqlite")
def test_callback_expires_after_ten_minutes(site, provider, clock):
    browser = Browser(site())
    url = provider.answer(begin(browser))
    clock.advance(minutes=11)
    assert is_nobody(browser, browser.get(url))


@pytest.mark.databases("sqlite")
def test_two_tabs_can_sign_in(site, provider):
    browser = Browser(site())
    first, second = begin(browser), begin(browser)
    assert browser.get(provider.answer(first)).location == "/account"
    assert browser.is_signed_in()
    late = browser.get(provider.answer(second))
    assert (late.status_code, late.location) == (302, "/account")
    stranger = Browser(browser.app)
    assert stranger.get(f"{START}/callback?state=forged&code=x").status_code == 400


@pytest.mark.databases("sqlite")
def test_callback_of_another_provider_is_refused(site, provider):
    app = site(provider.settings(), provider.settings("other"))
    browser = Browser(app)
    url = provider.answer(begin(browser, "/auth/oauth/other"))
    assert is_nobody(browser, browser.get(url.replace("/other/", "/acme/")))


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("issuer", [None, "https://evil.example", ""])
def test_callback_must_name_the_issuer(site, provider, issuer):
    browser = Browser(site())
    provider.sends_issuer = False
    url = provider.answer(begin(browser)) + ("" if issuer is None else f"&iss={issuer}")
    assert is_nobody(browser, browser.get(url))
    assert "POST /token" not in provider.asked


@pytest.mark.databases("sqlite")
def test_denied_consent_is_reported(site, provider):
    browser = Browser(site())
    state = parse_qs(urlsplit(begin(browser, f"{START}?next=/account/email")).query)["state"][0]
    answer = callback(browser, state=state, error="access_denied", error_description="<script>")
    assert answer.location == "/auth/login?next=/account/email"
    page = browser.get(answer.location).text
    assert "didn&#39;t sign you in" in page
    assert "script>" not in page.partition("didn&#39;t sign you in")[2].partition("</div>")[0]


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("path", ["/auth/oauth/nobody", "/auth/oauth/nobody/callback", "/auth/oauth/Acme"])
def test_unknown_provider_returns_404(site, path):
    assert Browser(site()).get(path).status_code == 404


# ── hostile responses ──


def forged(key):
    return RSAKey.generate_key(2048, {"kid": key.kid})


def in_base64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unsigned(claims, **header):
    return ".".join(in_base64(json.dumps(part).encode()) for part in (header or {"alg": "none"}, claims)) + "."


def by_shared_secret(provider, claims):
    """Sign with the public key as if it were an HMAC secret."""
    signed_part = unsigned(claims, alg="HS256", kid=provider.key.kid)[:-1]
    return f"{signed_part}.{in_base64(hmac.digest(provider.key.as_pem(private=False), signed_part.encode(), 'sha256'))}"


WRONG_CLAIMS = {
    "another audience": {"aud": "someone else"},
    "more audiences": {"aud": [CLIENT_ID, "someone else"], "azp": "someone else"},
    "more audiences and no party": {"aud": [CLIENT_ID, "someone else"]},
    "others only": {"aud": ["someone else", "one more"], "azp": CLIENT_ID},
    "another party": {"azp": "someone else"},
    "another issuer": {"iss": "https://accounts.google.com"},
    "another nonce": {"nonce": "of another flow"},
    "no nonce": {"nonce": None},
    "expired": {"exp": 1},
    "from the future": {"iat": 32503680000},
    "no subject": {"sub": None},
    "empty subject": {"sub": ""},
    "a number as subject": {"sub": 42},
    "a long subject": {"sub": "x" * 256},
    "a subject with a line break": {"sub": "a\nb"},
    "another access token": {"at_hash": "x" * 22},
    "no expiry": {"exp": None},
    "text as expiry": {"exp": "tomorrow"},
    "endless expiry": {"exp": 1e400},
    "a list as expiry": {"exp": [1]},
}


@pytest.mark.databases("sqlite")
def test_id_token_with_several_audiences_requires_our_azp(site, provider):
    provider.claims = lambda claims: claims | {"aud": ["another", CLIENT_ID, "project-1"], "azp": CLIENT_ID}
    browser = Browser(site())
    assert sign_in(browser, provider).location == "/account"


def without_email(claims):
    return {name: value for name, value in claims.items() if name not in {"email", "email_verified", "name"}}


def signed_info(provider, **claims):
    return lambda info: Response(provider.sign(info | claims), mimetype="application/jwt")


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("claims", [{}, {"aud": CLIENT_ID}, {"aud": ["another", CLIENT_ID]}])
def test_user_info_may_be_signed(site, provider, claims):
    provider.claims = without_email
    provider.documents["/userinfo"] = signed_info(provider, iss=provider.url, **claims)
    app = site()
    assert sign_in(Browser(app), provider).location == "/account"
    assert [*users(app)] == ["ada@corp.example"]


@pytest.mark.databases("sqlite")
def test_unsigned_or_malformed_user_info_is_refused_with_the_reason(site, provider, monkeypatch):
    reasons = []
    monkeypatch.setattr("app.oauth.views._log", lambda _, reason: reasons.append(reason))
    provider.claims = without_email
    app = site()
    other = RSAKey.generate_key(2048, {"kid": "rsa-1"})
    for case, answer in {
        "another key": lambda info: Response(provider.sign(info, key=other), mimetype="application/jwt"),
        "another client": signed_info(provider, aud="another"),
        "another issuer": signed_info(provider, iss="https://evil.test"),
        "unsigned": lambda info: Response(unsigned(info), mimetype="application/jwt"),
        "encrypted": lambda info: Response("a.b.c.d.e", mimetype="application/jwt"),
        "a page": lambda info: Response("<h1>Oops</h1>", mimetype="text/html"),
    }.items():
        provider.documents["/userinfo"] = answer
        assert is_nobody(Browser(app), sign_in(Browser(app), provider), 400), case
    assert reasons[-2:] == ["the user info is encrypted", "no JSON, but text/html; charset=utf-8"]
    assert users(app) == {}


@pytest.mark.databases("sqlite")
def test_google_is_asked_for_a_fresh_sign_in(site, provider):
    google = provider.settings("google", hosts=["127.0.0.1"])
    app = site(google)
    with app.test_request_context():
        client = client_of(app.extensions["settings"].oauth_providers[0])
    url = client.authorization_url(state="s", nonce="n", verifier="v" * 43, afresh=True)
    assert parse_qs(urlsplit(url).query)["prompt"] == ["select_account"]


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("secret", ["a+b/c=", "a%41b", "a b&c", "zoë:x"])
def test_client_secret_is_form_encoded(site, provider, secret, monkeypatch):
    headers = {}
    openid._basic(SimpleNamespace(client_id="an id:x", client_secret=secret), "POST", "https://x", headers, "")
    scheme, _, credentials = headers["Authorization"].partition(" ")
    client_id, _, password = base64.b64decode(credentials).decode().partition(":")
    assert (scheme, unquote_plus(client_id), unquote_plus(password)) == ("Basic", "an id:x", secret)


@pytest.mark.databases("sqlite")
def test_wrong_claims_are_refused(site, provider):
    browser = Browser(site())
    for case, change in WRONG_CLAIMS.items():
        provider.claims = lambda claims, new=change: {
            name: value for name, value in (claims | new).items() if value is not None
        }
        assert is_nobody(browser, sign_in(browser, provider)), case
    assert users(browser.app) == {}


WRONG_SIGNATURES = {
    "another key": lambda p, c: p.sign(c, key=forged(p.key)),
    "no signature": lambda p, c: unsigned(c),
    "the public key as a secret": by_shared_secret,
    "a key that is nowhere": lambda p, c: p.sign(c, kid="nowhere"),
    "a cut signature": lambda p, c: p.sign(c)[:-9],
    "other claims": lambda p, c: ".".join([p.sign(c).split(".")[0], unsigned(c | {"sub": "x"}).split(".")[1], p.sign(c).split(".")[2]]),
    "no token": lambda p, c: None,
    "no text": lambda p, c: 7,
    "words": lambda p, c: "certainly it is me",
}  # fmt: skip


@pytest.mark.databases("sqlite")
def test_wrong_signatures_are_refused(site, provider):
    browser = Browser(site())

    def answer(token, make):
        claims = json.loads(base64.urlsafe_b64decode(token["id_token"].split(".")[1] + "=="))
        return {**token, "id_token": make(provider, claims)}

    for case, make in WRONG_SIGNATURES.items():
        provider.token = lambda token, make=make: answer(token, make)
        assert is_nobody(browser, sign_in(browser, provider)), case
    assert users(browser.app) == {}


def slowly():
    yield b"{"
    for _ in range(100):
        yield b" " * 4096


WRONG_ANSWERS = {
    "an error page": (503, lambda t: ("<h1>Oops</h1>", 500)),
    "no JSON": (400, lambda t: "hello"),
    "a list": (400, lambda t: []),
    "a refusal": (400, lambda t: ({"error": "invalid_grant", "error_description": "used"}, 400)),
    "an odd error": (400, lambda t: ({"error": {"a": 1}}, 400)),
    "too much": (503, lambda t: Response(slowly())),
    "elsewhere": (400, lambda t: redirect("http://169.254.169.254/latest/meta-data/")),
    "no access token": (400, lambda t: {name: value for name, value in t.items() if name != "access_token"}),
    "nothing": (400, lambda t: {}),
}  # fmt: skip


@pytest.mark.databases("sqlite")
def test_wrong_token_responses_are_refused(site, provider):
    browser = Browser(site())
    for case, (status, make) in WRONG_ANSWERS.items():
        provider.token = make
        answer = sign_in(browser, provider)
        assert is_nobody(browser, answer, status), case
        assert ("Retry-After" in answer.headers) == (status == 503), case
        assert "169.254" not in answer.text


WRONG_DOCUMENTS = {
    "another issuer": lambda d: d | {"issuer": "https://accounts.google.com"},
    "no issuer": lambda d: {name: value for name, value in d.items() if name != "issuer"},
    "a number": lambda d: d | {"issuer": 1},
    "a deep list": lambda d: Response("[" * 100_000, mimetype="application/json"),
    "plain http": lambda d: d | {"authorization_endpoint": "http://idp.example/authorize"},
    "a script": lambda d: d | {"authorization_endpoint": "javascript:alert(1)"},
    "a user name": lambda d: d | {"authorization_endpoint": "https://us@idp.example/"},
    "a number as endpoint": lambda d: d | {"authorization_endpoint": 5},
    "a list": lambda d: [d],
    "words": lambda d: "words",
}  # fmt: skip


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    ("issuer", "endpoint", "allowed"),
    [
        ("https://login.acme.co.uk", "https://login.acme.co.uk/a", True),
        ("https://login.acme.co.uk/tenant", "https://api.acme.co.uk:8443/a", True),
        ("https://login.acme.co.uk", "https://evil.co.uk/a", False),
        ("https://login.acme.co.uk", "http://localhost/a", False),
        ("https://acme.github.io", "https://evil.github.io/a", False),
        ("https://login.acme.co.uk", "https://listed.example/a", True),
        ("https://login.acme.co.uk", "https://un.listed.example/a", False),
        ("https://10.0.0.1", "https://10.0.0.1/a", True),
        ("https://10.0.0.1", "https://192.168.0.1/a", False),
        ("https://sso", "https://sso/a", True),
        ("https://sso", "https://other/a", False),
        ("http://localhost:1", "http://localhost:2/a", True),
    ],
)
def test_discovery_document_names_only_allowed_hosts(site, provider, issuer, endpoint, allowed):
    provider.documents["/.well-known/openid-configuration"] = lambda d: d | {"authorization_endpoint": endpoint}
    app = site(acme_hosts=["listed.example"])
    with app.test_request_context():
        client = client_of(app.extensions["settings"].oauth_providers[0])
    client._metadata = lambda session: {"issuer": issuer, "authorization_endpoint": endpoint}
    proof = {"state": "s", "nonce": "n", "verifier": "v" * 43}
    if allowed:
        assert client.authorization_url(**proof).startswith(endpoint)
    else:
        with pytest.raises(ProviderRefused, match="authorization_endpoint is"):
            client.authorization_url(**proof)


@pytest.mark.databases("sqlite")
def test_invalid_discovery_documents_are_refused(site, provider):
    app = site()
    for case, make in WRONG_DOCUMENTS.items():
        provider.documents["/.well-known/openid-configuration"] = make
        app.extensions.pop("oauth_clients", None)
        answer = Browser(app).get(START)
        assert answer.status_code in {400, 503}, case
        assert "Couldn&#39;t sign in with" in answer.text


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("endpoint", ["token_endpoint", "jwks_uri"])
def test_client_secret_is_sent_only_to_the_token_endpoint(site, provider, endpoint):
    provider.documents["/.well-known/openid-configuration"] = lambda d: d | {endpoint: "http://169.254.169.254/"}
    browser = Browser(site())
    assert is_nobody(browser, sign_in(browser, provider))


@pytest.mark.databases("sqlite")
def test_unreachable_provider_is_reported_and_other_methods_work(site, provider):
    gone = provider.settings(discovery_url="http://127.0.0.1:9/.well-known/openid-configuration")
    browser = Browser(site(gone))
    answer = browser.get(START)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert "Acme isn&#39;t responding" in answer.text
    assert browser.get("/auth/login").status_code == 200


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("slow", ["headers", "body"])
def test_exchange_has_one_deadline_with_a_slow_provider(site, provider, monkeypatch, slow):
    monkeypatch.setattr("app.oauth.openid.WHOLE_SECONDS", 0.3)
    document = json.dumps({"issuer": "?", "authorization_endpoint": f"{provider.url}/authorize"})
    with slow_server(document, slow=slow) as url:
        slowly = provider.settings(discovery_url=f"{url}/.well-known/openid-configuration")
        answer = Browser(site(slowly)).get(START)
    assert (answer.status_code, "responding" in answer.text) == (503, True)


@pytest.mark.databases("sqlite")
def test_slow_provider_blocks_a_limited_number_of_requests(site, provider, monkeypatch):
    monkeypatch.setattr("app.oauth.openid.WAIT_SECONDS", 0.01)
    app = site()
    browser = Browser(app)
    url = provider.answer(begin(browser))
    for _ in range(2):
        assert app.extensions["oauth_at_once"].acquire(blocking=False)
    assert not app.extensions["oauth_at_once"].acquire(blocking=False)
    assert browser.get(url).status_code == 503


@pytest.mark.databases("sqlite")
def test_new_signing_keys_are_fetched_on_demand(site, provider, monkeypatch):
    monkeypatch.setattr("app.oauth.openid.KEYS_AGAIN_SECONDS", 0)
    app = site()
    assert sign_in(Browser(app), provider).location == "/account"
    provider.key = ECKey.generate_key("P-256", {"kid": "ec-2", "use": "sig"})
    assert sign_in(Browser(app), provider).location == "/account"
    provider.asked.clear()
    assert sign_in(Browser(app), provider).location == "/account"
    assert provider.asked == ["POST /authorize", "POST /token"]


# ── accounts ──


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("verified", [False, None, "yes", 1])
def test_unverified_provider_address_is_not_trusted(site, provider, verified):
    app = site()
    provider.people = [ada(email_verified=verified)]
    browser = Browser(app)
    answer = sign_in(browser, provider)
    assert answer.location.startswith(TO_CONNECT)
    assert "sent no confirmed email address" in browser.get(answer.location).text
    assert users(app) == {}


@pytest.mark.databases("sqlite")
def test_trusted_providers_addresses_count_as_verified(site, provider):
    app = site(acme_trust_email=True)
    provider.people = [ada(email_verified=None)]
    assert sign_in(Browser(app), provider).location == "/account"


@pytest.mark.databases("sqlite")
def test_address_that_needs_normalization_is_not_used(site, provider):
    app = site()
    for email in ("\uff41da@corp.example", "ada@corp.ex\u00e4mple", "ada", 7, "", "a b@corp.example"):
        provider.people = [ada(email=email)]
        sign_in(Browser(app), provider)
        assert users(app) == {}, email


@pytest.mark.databases("sqlite")
def test_user_info_counts_only_for_the_same_subject(site, provider):
    app = site()
    provider.claims = lambda claims: {name: value for name, value in claims.items() if not name.startswith("email")}
    provider.documents["/userinfo"] = lambda person: person | {"sub": "someone else"}
    browser = Browser(app)
    assert is_nobody(browser, sign_in(browser, provider))
    provider.documents.clear()
    assert sign_in(browser, provider).location == "/account"
    assert [*users(app)] == ["ada@corp.example"]


def test_existing_account_is_connected_only_by_its_owner(site, provider, clock):
    app = site()
    owner = People(app).add("ada@corp.example")
    browser = Browser(app)
    answer = sign_in(browser, provider)
    assert answer.location.startswith(TO_CONNECT)
    assert "An account with ada@corp.example already exists" in browser.get(answer.location).text
    assert not browser.is_signed_in()
    with app.app_context():
        assert db.session.query(OAuthIdentity).all() == []

    # The owner confirms with the password, then agrees.
    back = browser.login(owner, next=next_of(answer))
    assert back.location == next_of(answer)
    offered = browser.page(back.location).text("section.card")
    assert "Acme has just confirmed Ada (ada@corp.example)" in offered
    assert browser.post("/account/connections/connect", page="/account/connections").status_code == 302
    assert "Acme" in browser.get("/account/connections").text
    (mail,) = [mail for mail in mails(app) if "was connected to" in mail.subject]
    assert "If it wasn't, disconnect Acme now." in mail.text
    other = Browser(app)
    assert sign_in(other, provider).location == "/account"
    assert len(users(app)) == 1


def mails(app):
    return Mailbox(app).all()


def next_of(answer):
    return unquote(answer.location.partition("next=")[2])


@pytest.mark.parametrize("requested", ["", "/account/connections", "/account/sessions"])
def test_pending_identity_is_not_offered_to_the_next_user(site, provider, requested):
    """A stranger returns from their provider in a shared browser and leaves."""
    app = site(registration="closed")
    victim = People(app).add("victim@example.com")
    shared = Browser(app)
    sign_in(shared, provider)
    shared.get("/auth/login")
    shared.login(victim, next=requested)
    assert "has just confirmed" not in shared.get("/account/connections").text
    shared.post("/account/connections/connect", page="/account/connections")
    with app.app_context():
        assert db.session.query(OAuthIdentity).all() == []


def test_pending_identity_survives_the_second_step(site, provider, clock):
    app = site()
    owner = People(app).add("ada@corp.example")
    browser = Browser(app)
    browser.login(owner)
    phone, _ = set_up(browser, clock)
    browser.logout()
    next_page = next_of(sign_in(browser, provider))
    browser.login(owner, next=next_page)
    assert browser.post("/auth/two-factor", {"code": phone.code()}).location == next_page
    assert "Acme has just confirmed Ada (ada@corp.example)" in browser.page(next_page).text("section.card")


def test_pending_identity_expires(site, provider, clock):
    app = site()
    owner = People(app).add("ada@corp.example")
    browser = Browser(app)
    sign_in(browser, provider)
    clock.advance(minutes=16)
    browser.sign_in(owner)
    assert "has just confirmed" not in browser.get("/account/connections").text
    browser.post("/account/connections/connect", page="/account/connections")
    assert sign_in(Browser(app), provider).location != "/account"


def test_unconfirmed_account_of_a_stranger_is_replaced(site, provider):
    """A stranger signs up with the victim's address and waits for the victim to sign in with their provider."""
    app = site()
    stranger = Browser(app)
    stranger.register("ada@corp.example", "the stranger's password", name="Stranger")
    (mail,) = mails(app)
    assert sign_in(Browser(app), provider).location == "/account"
    user = users(app)["ada@corp.example"]
    assert (user.name, user.hashed_password) == ("Ada", None)
    assert stranger.login("ada@corp.example", "the stranger's password").status_code == 422
    assert stranger.verify_email(mail.link, "the stranger's password").status_code == 410


@pytest.mark.parametrize("mode", ["invite", "closed"])
def test_provider_sign_up_follows_the_registration_setting(site, provider, mode):
    app = site(registration=mode)
    browser = Browser(app)
    answer = sign_in(browser, provider)
    assert answer.location.startswith(TO_CONNECT)
    assert "Sign-up is closed" in browser.get(answer.location).text
    assert users(app) == {}


def test_invited_user_signs_in_with_a_provider(site, provider):
    app = site(registration="invite")
    with app.app_context(), unit_of_work() as work:
        work.roles.create(RoleSpec(name="editor", permissions=frozenset({"users:read"})), by=OPERATOR)
        work[Invitations].invite(email="ada@corp.example", name="", roles=["editor"], by=OPERATOR)
    (mail,) = mails(app)
    browser = Browser(app)
    assert sign_in(browser, provider).location == "/account"
    assert browser.get("/users").status_code == 200
    assert browser.get(mail.link).status_code == 410


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    "email", ["ada@sub.corp.example", "ada@corp.example.evil.test", "ada@evilcorp.example", "ada@evil.test"]
)
def test_domain_list_is_exact(site, provider, email):
    app = site(acme_email_domains="Corp.example")
    provider.people = [ada(email=email), ada(email_verified=False), ada()]
    for person in (0, 1):
        browser = Browser(app)
        assert is_nobody(browser, sign_in(browser, provider, person=person), 403)
    assert sign_in(Browser(app), provider, person=2).location == "/account"


@pytest.mark.parametrize("act", ["deactivate", "delete"])
def test_inactive_account_cannot_sign_in_with_a_provider(site, provider, act):
    app = site()
    sign_in(Browser(app), provider)
    with app.app_context(), unit_of_work() as work:
        user = work.users.get_by_email("ada@corp.example", lock=True)
        work.users.deactivate(user, by=OPERATOR, reason="x") if act == "deactivate" else work.users.delete(
            user, by=OPERATOR
        )
    browser = Browser(app)
    assert is_nobody(browser, sign_in(browser, provider), 403)


def test_closed_account_is_restored_by_provider_sign_in(site, provider):
    app = site()
    browser = Browser(app)
    sign_in(browser, provider)
    with app.app_context(), unit_of_work() as work:
        work.users.delete_own(users_id(app))
    assert sign_in(Browser(app), provider).location == "/account"
    assert users(app)["ada@corp.example"].is_active


def users_id(app):
    return users(app)["ada@corp.example"].id


# ── providers with special rules ──


def at_github(monkeypatch, provider, user, emails):
    """Respond like GitHub, at the local provider's URL."""
    values = {
        "issuer": provider.url,
        "authorization_endpoint": f"{provider.url}/authorize",
        "token_endpoint": f"{provider.url}/token",
        "userinfo_endpoint": f"{provider.url}/user",
        "token_endpoint_auth_methods_supported": ["client_secret_post"],
    }
    monkeypatch.setattr("app.oauth.openid.GITHUB_ENDPOINTS", values)
    provider.sends_issuer = False
    provider.documents |= {"/user": lambda _: user, "/user/emails": lambda _: emails}


GITHUB = {"name": "github", "label": "GitHub", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
OCTOCAT = {"id": 583231, "login": "octocat", "name": "Octo Cat", "email": "public@evil.test"}
MAIN = {"email": "octo@corp.example", "primary": True, "verified": True}
OTHER = {"email": "other@corp.example", "primary": False, "verified": True}


@pytest.mark.databases("sqlite")
def test_github_user_and_confirmed_address_are_requested(site, provider, monkeypatch):
    app = site(GITHUB)
    at_github(monkeypatch, provider, OCTOCAT, [OTHER, MAIN])
    browser = Browser(app)
    url = begin(browser, "/auth/oauth/github")
    assert parse_qs(urlsplit(url).query)["scope"] == ["user:email"]
    assert browser.get(provider.answer(url)).location == "/account"
    assert [*users(app)] == ["octo@corp.example"]
    with app.app_context():
        identity = db.session.query(OAuthIdentity).one()
    assert (identity.issuer, identity.subject) == (provider.url, "583231")


UNCLEAR = [
    (OCTOCAT, [OTHER]),
    (OCTOCAT, [MAIN | {"verified": False}]),
    (OCTOCAT, [MAIN | {"verified": "true"}]),
    (OCTOCAT, []),
    (OCTOCAT, {"message": "rate limit"}),
    (OCTOCAT, ["octo@corp.example"]),
    (OCTOCAT | {"id": None}, [MAIN]),
    (OCTOCAT | {"id": "octocat"}, [MAIN]),
    ({}, [MAIN]),
    ([], [MAIN]),
]


@pytest.mark.databases("sqlite")
def test_missing_github_data_is_not_guessed(site, provider, monkeypatch):
    browser = Browser(site(GITHUB))
    for user, emails in UNCLEAR:
        at_github(monkeypatch, provider, user, emails)
        answer = browser.get(provider.answer(begin(browser, "/auth/oauth/github")))
        assert answer.status_code in {302, 400, 503}, (user, emails)
        assert not browser.is_signed_in()
    assert users(browser.app) == {}


TENANT = "72f988bf-86f1-41af-91ab-2d7cd011db47"


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"tid": TENANT, "iss": "{url}/" + TENANT + "/v2.0"}, 302),
        ({"tid": TENANT, "iss": "{url}/" + TENANT[::-1] + "/v2.0"}, 400),
        ({"tid": "../common", "iss": "{url}/../common/v2.0"}, 400),
        ({"iss": "{url}/" + TENANT + "/v2.0"}, 400),
        ({"tid": TENANT, "iss": "{url}/{tenantid}/v2.0"}, 400),
    ],
)
def test_microsoft_issuer_is_that_of_the_tokens_tenant(site, provider, monkeypatch, claims, status):
    monkeypatch.setattr("app.oauth.openid.MICROSOFT", f"{provider.url}/")
    provider.documents["/.well-known/openid-configuration"] = lambda d: (
        d
        | {
            "issuer": f"{provider.url}/{{tenantid}}/v2.0",
            "authorization_response_iss_parameter_supported": False,
        }
    )
    provider.sends_issuer = False
    provider.claims = lambda sent: sent | claims | {"iss": claims["iss"].replace("{url}", provider.url)}
    app = site(provider.settings("microsoft", trust_email=True))
    browser = Browser(app)
    assert browser.get(provider.answer(begin(browser, "/auth/oauth/microsoft"))).status_code == status
    assert browser.is_signed_in() == (status == 302)


# ── connections ──


def test_identity_of_another_account_is_not_moved(site, provider):
    app = site()
    sign_in(Browser(app), provider)
    grace = People(app).add("grace@example.com")
    browser = Browser(app)
    browser.sign_in(grace)
    answer = sign_in(browser, provider)
    assert "connected to another account" in browser.get(answer.location).text
    assert browser.page("/account").text  # She is still the same user.
    assert "grace@example.com" in browser.get("/account").text


@pytest.mark.databases("sqlite")
def test_connecting_needs_a_click_on_our_page(site, provider):
    app = site()
    grace = People(app).add("grace@example.com")
    browser = Browser(app)
    browser.sign_in(grace)
    answer = sign_in(browser, provider)
    assert answer.location == "/account/connections"
    with app.app_context():
        assert db.session.query(OAuthIdentity).all() == []
    browser.post("/account/connections/dismiss", page="/account/connections")
    browser.post("/account/connections/connect", page="/account/connections")
    with app.app_context():
        assert db.session.query(OAuthIdentity).all() == []


@pytest.mark.databases("sqlite")
def test_number_of_connections_is_limited(site, provider, monkeypatch):
    monkeypatch.setattr("app.oauth.service.MAX_CONNECTIONS", 0)
    app = site()
    browser = Browser(app)
    browser.login(People(app).add("grace@example.com"))
    sign_in(browser, provider)
    answer = browser.post("/account/connections/connect", page="/account/connections")
    assert "maximum number of connected accounts" in browser.get(answer.location).text


def connection_of(app):
    with app.app_context():
        return db.session.query(OAuthIdentity).one().id


def test_last_sign_in_method_cannot_be_disconnected(site, provider):
    app = site()
    browser = Browser(app)
    sign_in(browser, provider)
    path = f"/account/connections/{connection_of(app)}/disconnect"
    answer = browser.post(path, page="/account/connections")
    assert "Set a password first" in browser.get(answer.location).text

    browser.post("/auth/forgot-password", {"email": "ada@corp.example"})
    browser.reset_password(mails(app)[-1].link, "seven lamps at dusk")
    browser.login("ada@corp.example", "seven lamps at dusk")
    browser.post(path, page="/account/connections")
    with app.app_context():
        assert db.session.query(OAuthIdentity).all() == []
    assert any("was disconnected from" in mail.subject for mail in mails(app))
    assert browser.post(path, page="/account/connections").location == "/account/connections"


@pytest.mark.databases("sqlite")
def test_connection_of_another_user_cannot_be_removed(site, provider):
    app = site()
    sign_in(Browser(app), provider)
    browser = Browser(app)
    browser.login(People(app).add("grace@example.com"))
    browser.post(f"/account/connections/{connection_of(app)}/disconnect", page="/account/connections")
    assert connection_of(app)


def test_user_without_a_password_confirms_with_the_provider(site, provider, clock):
    app = site()
    browser = Browser(app)
    sign_in(browser, provider)
    clock.advance(minutes=11)
    answer = browser.get("/account/email")
    assert answer.location == "/auth/confirm?next=/account/email"
    link = browser.page(answer.location).find(".providers a")
    url = begin(browser, attributes(link)["href"])
    query = parse_qs(urlsplit(url).query)
    assert (query["prompt"], query["max_age"]) == (["login"], ["0"])
    provider.people = [ada(auth_time=int(clock().timestamp()))]
    assert browser.get(provider.answer(url)).location == "/account/email"
    assert browser.get("/account/email").status_code == 200


def test_providers_cannot_be_disabled_while_a_user_has_no_other_way_in(site, provider):
    app = site()
    connections = app.extensions["features"].active["oauth"]
    _refuse_if_used(app, connections)
    sign_in(Browser(app), provider)

    with pytest.raises(SettingsError, match="oauth can't be disabled, because 1 user has no other way to sign in"):
        _refuse_if_used(app, connections)


@pytest.mark.databases("sqlite")
def test_stale_or_foreign_provider_sign_in_confirms_nothing(site, provider, clock):
    app = site()
    browser = Browser(app)
    sign_in(browser, provider)
    clock.advance(minutes=11)
    for person in (ada(auth_time=int(clock().timestamp()) - 600), ada(sub="someone else")):
        provider.people = [person]
        assert sign_in(browser, provider, f"{START}?for=confirm&next=/account/email").status_code == 403
        assert browser.get("/account/email").status_code == 302


@pytest.mark.databases("sqlite")
def test_user_with_a_password_confirms_with_it(site, provider, clock):
    app = site()
    owner = People(app).add("ada@corp.example")
    browser = Browser(app)
    sign_in(browser, provider)
    browser.sign_in(owner)
    browser.post("/account/connections/connect", page="/account/connections")
    clock.advance(minutes=11)
    assert sign_in(browser, provider, f"{START}?for=confirm").status_code == 403
    assert browser.get("/account/email").status_code == 302


def test_undone_email_change_disconnects_later_connections(site, provider):
    app = site()
    owner = People(app).add("owner@example.com")
    thief = Browser(app)
    thief.sign_in(owner)
    sign_in(thief, provider)
    thief.post("/account/connections/connect", page="/account/connections")
    thief.post("/account/email", {"email": "thief@example.com"})
    undo = next(mail for mail in mails(app) if "about to change" in mail.subject)
    Browser(app).open_and_send(undo.link)
    answer = sign_in(Browser(app), provider)
    assert answer.status_code == 302
    assert users(app)["owner@example.com"].hashed_password is None
    with app.app_context():
        assert db.session.query(OAuthIdentity).filter_by(user_id=owner.id).all() == []


# ── pages ──


@pytest.mark.databases("sqlite")
def test_sign_in_page_shows_providers_and_the_last_used(site, provider):
    app = site()
    browser = Browser(app)
    page = browser.get("/auth/login?next=/account/sessions").text
    assert f'href="{START}?next=/account/sessions"' in page
    assert "Used last" not in page
    sign_in(browser, provider)
    browser.logout()
    assert "Used last" in browser.get("/auth/login").text
    assert START in browser.get("/auth/register").text


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("requested", ["//evil.test", "https://evil.test/", "/account/" + "x" * 8000, "/nowhere"])
def test_return_page_is_only_on_this_site(site, provider, requested):
    browser = Browser(site())
    answer = browser.send("GET", START, query_string={"next": requested})
    assert max(len(header) for header in answer.headers.getlist("Set-Cookie")) < 4096
    assert browser.get(provider.answer(answer.location)).location == "/account"


@pytest.mark.databases("sqlite")
def test_only_the_identity_of_the_provider_is_stored(site, provider, caplog):
    app = site()
    seen = []
    provider.token = lambda token: seen.append(token["access_token"]) or token
    browser = Browser(app)
    answer = sign_in(browser, provider)
    with app.app_context(), db.engine.connect() as connection:
        stored = "".join(str(line) for line in connection.connection.driver_connection.iterdump())
    for secret in (*seen, "a secret/of the+client"):
        assert secret not in stored + caplog.text + str(answer.headers)


@pytest.mark.databases("sqlite")
def test_cross_site_request_cannot_start_sign_in(site, provider):
    browser = Browser(site())
    answer = browser.get(f"{START}?next=/account/sessions", headers={"Sec-Fetch-Site": "cross-site"})
    assert (answer.status_code, answer.location) == (303, "/auth/login?next=/account/sessions")
    for own in ("same-origin", "same-site", "none"):
        assert browser.get(START, headers={"Sec-Fetch-Site": own}).location.startswith(provider.url)


@pytest.mark.databases("sqlite")
def test_provider_sign_in_is_rate_limited(site):
    app = site(limit_scale=1, limit_login="2 per hour")
    browser = Browser(app)
    assert [browser.get(START).status_code for _ in range(3)] == [303, 303, 429]
