"""Sign-in from a program: refresh tokens work in two tabs and detect theft."""

import base64
import hmac
import json

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet
from sqlalchemy import select

from app.auth.models import RefreshToken, Session
from app.auth.sign_in_steps import open_session
from app.core.extensions import db
from app.core.tokens import new_token
from tests.support.browser import Browser
from tests.support.commands import flask_command
from tests.support.program import Program, code


@pytest.fixture
def program(app):
    return Program(app)


@pytest.fixture
def signed_in(app, ada):
    return Program(app).login(ada)


def header_and_claims(token):
    parts = [part + "=" * (-len(part) % 4) for part in token.split(".")[:2]]
    return [json.loads(base64.urlsafe_b64decode(part)) for part in parts]


def jwks(app):
    address = app.extensions["settings"].public_url
    return app.test_client().get("/.well-known/jwks.json", base_url=address).json["keys"]


def test_sign_in_returns_both_tokens_and_the_user(program, ada):
    answer = program.post("/auth/login", {"email": " ADA@example.com ", "password": ada.password})

    assert answer.status_code == 200
    data = answer.json["data"]
    assert set(data) == {"access_token", "token_type", "expires_in", "refresh_token", "user"}
    assert (data["token_type"], data["expires_in"]) == ("Bearer", 600)
    assert data["user"]["email"] == "ada@example.com"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in answer.headers


def test_access_token_contains_only_its_session(signed_in, ada, app):
    header, claims = header_and_claims(signed_in.token)

    assert (header["alg"], header["typ"]) == ("ES256", "at+jwt")
    assert set(claims) == {"iss", "aud", "sub", "sid", "iat", "exp", "jti"}
    assert claims["exp"] - claims["iat"] == 600
    assert claims["sub"] == str(ada.id)
    (key,) = jwks(app)
    assert set(key) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    assert key["kid"] == header["kid"]


def test_wrong_credentials_have_one_response(program, ada):
    for who in ({"email": ada.email, "password": "not this one"}, {"email": "no@example.com", "password": "whatever"}):
        answer = program.post("/auth/login", who)
        assert (answer.status_code, code(answer)) == (401, "invalid_credentials")


def test_unconfirmed_address_is_revealed_only_after_the_correct_password(program, app, mailbox):
    who = {"email": "new@example.com", "password": "a quieter harbour"}
    assert program.post("/auth/register", {**who, "name": "New"}).status_code == 202
    assert code(program.post("/auth/login", {**who, "password": "another one here"})) == "invalid_credentials"
    answer = program.post("/auth/login", who)
    assert (answer.status_code, code(answer)) == (403, "email_not_verified")

    token = mailbox.last_to("new@example.com").link.rsplit("/", 1)[-1]
    assert program.post("/auth/verify-email", {"token": token, "password": "not this one"}).status_code == 401
    assert program.post("/auth/verify-email", {"token": token, "password": who["password"]}).status_code == 200
    assert program.post("/auth/verify-email", {"token": token, "password": who["password"]}).status_code == 410
    assert program.post("/auth/login", who).status_code == 200


def test_registration_response_is_the_same_for_known_addresses(program, ada):
    answers = [
        program.post("/auth/register", {"email": email, "password": "a quieter harbour"})
        for email in (ada.email, "new@example.com")
    ]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].data == answers[1].data
    responses = [program.post("/auth/forgot-password", {"email": email}) for email in (ada.email, "nobody@example.com")]
    assert [answer.status_code for answer in responses] == [202, 202]
    assert responses[0].data == responses[1].data


@pytest.mark.settings(registration="closed")
def test_closed_registration_is_reported(program):
    answer = program.post("/auth/register", {"email": "new@example.com", "password": "a quieter harbour"})
    assert (answer.status_code, code(answer)) == (403, "registration_closed")


def test_reset_ends_every_session(program, signed_in, ada, mailbox):
    program.post("/auth/forgot-password", {"email": ada.email})
    token = mailbox.last_to(ada.email).link.rsplit("/", 1)[-1]

    weak = program.post("/auth/reset-password", {"token": token, "password": "short"})
    assert (weak.status_code, weak.json["errors"][0]["field"], code(weak)) == (422, "password", "weak_password")
    assert program.post("/auth/reset-password", {"token": token, "password": "another harbour"}).status_code == 200
    assert program.post("/auth/reset-password", {"token": token, "password": "another harbour"}).status_code == 410
    assert signed_in.get("/users/me").status_code == 401
    assert code(signed_in.refresh()) == "invalid_token"


def test_sign_out_revokes_both_tokens_at_once(app, signed_in):
    thief = Program(app, token=signed_in.token)
    assert signed_in.post("/auth/logout").status_code == 200

    assert thief.get("/users/me").status_code == 401
    assert code(signed_in.refresh()) == "invalid_token"


def test_ending_the_session_in_a_browser_revokes_the_tokens(app, signed_in, ada):
    browser = Browser(app)
    browser.sign_in(ada)
    with app.app_context():
        (session_id,) = db.session.scalars(select(Session.id).where(Session.user_agent == "gatehouse-tests/1"))
    browser.post(f"/account/sessions/{session_id}/end", page="/account/sessions")

    assert signed_in.get("/users/me").status_code == 401


def test_refresh_spends_the_token_and_returns_a_new_pair(signed_in, app):
    before = signed_in.refresh_token
    answer = signed_in.refresh()

    assert answer.status_code == 200
    assert set(answer.json["data"]) == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert answer.json["data"]["refresh_token"] != before
    signed_in.take(answer)
    assert signed_in.get("/users/me").status_code == 200
    with app.app_context():
        stored = " ".join(db.session.scalars(select(RefreshToken.token_hash)))
    assert before not in stored


def test_concurrent_refreshes_get_the_same_successor(signed_in, clock):
    first = signed_in.refresh()
    clock.advance(seconds=29)
    second = signed_in.refresh()

    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json["data"]["refresh_token"] == second.json["data"]["refresh_token"]


def test_reused_refresh_token_ends_the_session(app, signed_in, ada, clock, mailbox):
    stolen = signed_in.refresh_token
    signed_in.take(signed_in.refresh())
    clock.advance(seconds=31)

    answer = Program(app).post("/auth/refresh", {"refresh_token": stolen})
    assert (answer.status_code, code(answer)) == (401, "token_reused")
    assert signed_in.get("/users/me").status_code == 401
    assert code(signed_in.refresh()) == "invalid_token"
    assert "We signed out an app" in mailbox.last_to(ada.email).subject


def test_reuse_within_the_grace_period_after_the_successor_was_used_ends_the_session(app, signed_in):
    first = signed_in.refresh_token
    signed_in.take(signed_in.refresh())
    signed_in.take(signed_in.refresh())

    assert code(Program(app).post("/auth/refresh", {"refresh_token": first})) == "token_reused"


def test_session_has_an_absolute_end(signed_in, clock):
    for _ in range(3):
        clock.advance(days=29)
        signed_in.take(signed_in.refresh())
    clock.advance(days=3)
    assert code(signed_in.refresh()) == "invalid_token"


def test_access_token_expires(signed_in, clock):
    clock.advance(minutes=9, seconds=59)
    assert signed_in.get("/users/me").status_code == 200
    clock.advance(seconds=2)
    answer = signed_in.get("/users/me")
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


def forged(signed_in, app, *, header=None, key=None, **claims):
    own_header, own_claims = header_and_claims(signed_in.token)
    key = key or ECKey.generate_key("P-256", private=True)
    head = {**own_header, **(header or {})}
    return jwt.encode(head, {**own_claims, **claims}, key, algorithms=[head["alg"]])


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def hs256(header, payload, secret):
    """Sign by hand, because joserfc refuses a public key as an HMAC secret."""
    head = base64url(json.dumps({**header, "alg": "HS256"}).encode())
    return f"{head}.{payload}." + base64url(hmac.digest(secret, f"{head}.{payload}".encode(), "sha256"))


def test_altered_token_is_refused(app, signed_in):
    header, claims = header_and_claims(signed_in.token)

    def text(part):
        return base64url(json.dumps(part).encode())

    ours = signed_in.token.split(".")
    stranger = ECKey.generate_key("P-256", private=True)
    (published,) = jwks(app)
    public_halves = [json.dumps(published).encode(), ECKey.import_key(published).as_pem(private=False)]
    attempts = [
        forged(signed_in, app),
        forged(signed_in, app, header={"kid": "another"}),
        *(hs256(header, ours[1], half) for half in public_halves),
        f"{text({**header, 'alg': 'none'})}.{ours[1]}.",
        f"{text({**header, 'alg': 'none'})}.{ours[1]}.{ours[2]}",
        f"{text({**header, 'jwk': stranger.as_dict(private=False)})}.{ours[1]}.{ours[2]}",
        f"{text({**header, 'jku': 'https://evil.test/jwks.json'})}.{ours[1]}.{ours[2]}",
        f"{text({**header, 'crit': ['exp']})}.{ours[1]}.{ours[2]}",
        f"{text({**header, 'typ': 'JWT'})}.{ours[1]}.{ours[2]}",
        f"{ours[0]}.{text({**claims, 'sub': '1', 'exp': 99999999999})}.{ours[2]}",
        f"{ours[0]}.{ours[1]}.{ours[2][:-4]}AAAA",
        signed_in.refresh_token,
        "ghk_" + "a" * 49,
        "ghk_",
        "...",
        "a" * 5000,
    ]
    for attempt in attempts:
        answer = Program(app, token=attempt).get("/users/me")
        assert (answer.status_code, code(answer)) == (401, "unauthenticated"), attempt
    for odd in (
        "Bearer",
        "Basic YTpi",
        f"Bearer {signed_in.token}, Bearer {signed_in.token}",
        f"Bearer  {signed_in.token}",
    ):
        assert Program(app).get("/users/me", headers={"Authorization": odd}).status_code == 401
    twice = [("Authorization", f"Bearer {signed_in.token}"), ("Authorization", "Bearer ghk_nothing")]
    for order in (twice, twice[::-1]):
        address = app.extensions["settings"].public_url
        assert app.test_client().get("/api/v1/users/me", headers=order, base_url=address).status_code == 401
    assert Program(app).get(f"/users/me?access_token={signed_in.token}").status_code == 401


def test_cookie_does_not_replace_a_bad_authorization_header(app, ada):
    browser = Browser(app)
    browser.sign_in(ada)
    assert browser.get("/api/v1/users/me").status_code == 200
    assert browser.get("/api/v1/users/me", headers={"Authorization": "Bearer nonsense"}).status_code == 401


def test_fallback_keys_verify_until_removed(make_app, people):
    old, new = new_token(), new_token()
    ada = people.add("ada@example.com")
    before = Program(make_app(secret_key=old)).login(ada)
    rotated = make_app(secret_key=new, secret_key_fallbacks=old)
    during = Program(rotated).login(ada)

    kids = [header_and_claims(program.token)[0]["kid"] for program in (during, before)]
    assert [key["kid"] for key in jwks(rotated)] == kids
    assert Program(rotated, token=before.token).get("/users/me").status_code == 200
    after = make_app(secret_key=new)
    assert Program(after, token=during.token).get("/users/me").status_code == 200
    assert Program(after, token=before.token).get("/users/me").status_code == 401
    assert [key["kid"] for key in jwks(after)] == kids[:1]


def test_another_service_verifies_tokens_with_the_published_keys(app, signed_in, ada):
    keys = KeySet.import_key_set({"keys": jwks(app)})

    decoded = jwt.decode(signed_in.token, keys, algorithms=["ES256"])

    assert decoded.claims["sub"] == str(ada.id)


def test_tokens_are_stored_hashed(app, signed_in):
    with app.app_context():
        (stored,) = db.session.scalars(select(RefreshToken.token_hash))
    assert stored not in signed_in.refresh_token
    assert signed_in.refresh_token not in stored


@pytest.mark.databases("sqlite", "postgresql")
def test_user_erased_during_sign_in_is_refused(app, ada, monkeypatch):
    def erased_afterwards(*positional, **named):
        signed_in = open_session(*positional, **named)
        assert flask_command(app, "users", "delete", ada.email, "--now", "--yes").exit_code == 0
        return signed_in

    monkeypatch.setattr("app.auth.api.open_session", erased_afterwards)
    answer = Program(app).post("/auth/login", {"email": ada.email, "password": ada.password})
    assert (answer.status_code, code(answer)) == (409, "conflict")
