"""An OpenID Connect provider, built with Authlib, that can misbehave.

A visitor of its page chooses an identity. It serves http: on this machine clients accept that."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPRedirectHandler, Request, build_opener

import pytest
from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core import OpenIDCode, UserInfo
from flask import Flask, Response, jsonify, request
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey
from werkzeug.serving import make_server

CLIENT_ID, CLIENT_SECRET = "gatehouse at the provider", "a secret/of the+client"
Claims = dict[str, Any]


def ada(**other: Any) -> Claims:
    return {"sub": "248289761001", "email": "ada@corp.example", "email_verified": True, "name": "Ada", **other}


@dataclass
class Provider:
    """`people` are offered on its page; each hook changes a response, and None leaves it."""

    url: str = ""
    people: list[Claims] = field(default_factory=lambda: [ada()])
    claims: Callable[[Claims], Claims] | None = None  # the ID token before it is signed
    token: Callable[[Claims], Any] | None = None  # the token endpoint's response
    documents: dict[str, Callable[[Claims], Any]] = field(default_factory=dict)  # by path
    key: Any = None
    asked: list[str] = field(default_factory=list)
    grants: dict[str, Any] = field(default_factory=dict)
    sends_issuer: bool = True

    def __post_init__(self) -> None:
        self.key = RSAKey.generate_key(2048, {"kid": "rsa-1", "use": "sig"})

    @property
    def discovery_url(self) -> str:
        return f"{self.url}/.well-known/openid-configuration"

    def settings(self, name: str = "acme", **other: Any) -> dict[str, Any]:
        """Return its entry in `oauth_providers`."""
        values = {"name": name, "label": name.title(), "discovery_url": self.discovery_url}
        return values | {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET} | other

    def environment(self, name: str = "acme") -> dict[str, str]:
        """Return the settings of an application that knows it, in lower case."""
        values = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "discovery_url": self.discovery_url}
        return {f"oauth_{name}_{part}": value for part, value in values.items()}

    def answer(self, authorization_url: str, person: int = 0) -> str:
        """Choose an identity on its page; return the redirect URL."""
        form = urlencode({"person": person}).encode()
        with pytest.raises(HTTPError) as answer:
            build_opener(_NoRedirect).open(Request(authorization_url, data=form), timeout=30)
        with answer.value:
            return str(answer.value.headers["Location"])

    def sign(self, claims: Claims, *, key: Any = None, **header: Any) -> str:
        used = key or self.key
        algorithm = header.setdefault("alg", "ES256" if isinstance(used, ECKey) else "RS256")
        return jwt.encode({"kid": used.kid, **header}, claims, used, [algorithm])

    def reset(self) -> None:
        self.people, self.claims, self.token, self.documents = [ada()], None, None, {}
        self.asked.clear()
        self.sends_issuer = True


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


@dataclass
class _Client:
    client_id: str = CLIENT_ID

    def get_client_id(self) -> str:
        return self.client_id

    def get_default_redirect_uri(self) -> str:
        return ""

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri.endswith("/callback")

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == CLIENT_SECRET

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method in {"client_secret_basic", "client_secret_post"}

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "authorization_code"

    def get_allowed_scope(self, scope: str) -> str:
        return scope


@dataclass
class _Code:
    claims: Claims
    redirect_uri: str
    scope: str
    nonce: str | None
    code_challenge: str | None
    code_challenge_method: str | None
    auth_time: int

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope

    def get_nonce(self) -> str | None:
        return self.nonce

    def get_auth_time(self) -> int:
        return self.auth_time

    def get_acr(self) -> None:
        return None

    def get_amr(self) -> None:
        return None


def _grant(codes: dict[str, _Code]) -> type[AuthorizationCodeGrant]:
    class Grant(AuthorizationCodeGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic", "client_secret_post")

        def save_authorization_code(self, code: str, request: Any) -> None:
            sent = request.payload.data
            codes[code] = _Code(
                claims=request.user,
                redirect_uri=request.payload.redirect_uri,
                scope=request.payload.scope,
                nonce=sent.get("nonce"),
                code_challenge=sent.get("code_challenge"),
                code_challenge_method=sent.get("code_challenge_method"),
                auth_time=request.user.get("auth_time", int(time.time())),
            )

        def query_authorization_code(self, code: str, client: _Client) -> _Code | None:
            return codes.get(code)

        def delete_authorization_code(self, authorization_code: _Code) -> None:
            for code in [code for code, candidate in codes.items() if candidate is authorization_code]:
                codes.pop(code, None)

        def authenticate_user(self, authorization_code: _Code) -> Claims:
            return authorization_code.claims

    return Grant


def _openid(provider: Provider, codes: dict[str, _Code]) -> OpenIDCode:
    class Openid(OpenIDCode):
        def exists_nonce(self, nonce: str, request: Any) -> bool:
            return any(code.nonce == nonce for code in codes.values())

        def get_client_algorithm(self, client: _Client) -> str:
            return "ES256" if isinstance(provider.key, ECKey) else "RS256"

        def get_client_claims(self, client: _Client) -> Claims:
            return {"iss": provider.url, "aud": [CLIENT_ID]}

        def resolve_client_private_key(self, client: _Client) -> Any:
            return provider.key

        def get_encode_header(self, client: _Client) -> Claims:
            return {"alg": self.get_client_algorithm(client), "kid": provider.key.kid}

        def generate_user_info(self, user: Claims, scope: str) -> UserInfo:
            return UserInfo(user)

    return Openid()


def _application(provider: Provider) -> Flask:
    app = Flask("provider")
    server = AuthorizationServer(app, query_client=lambda _: _Client(), save_token=lambda *_: None)
    codes: dict[str, _Code] = {}
    server.register_grant(_grant(codes), [_openid(provider, codes), CodeChallenge(required=True)])
    app.before_request(lambda: provider.asked.append(f"{request.method} {request.path}"))
    _documents(app, provider)
    _endpoints(app, provider, server)
    return app


def _documents(app: Flask, provider: Provider) -> None:
    def said(document: Claims) -> Any:
        change = provider.documents.get(request.path)
        return change(document) if change else document

    @app.get("/.well-known/openid-configuration")
    def discovery() -> Any:
        return said(
            {
                "issuer": provider.url,
                "authorization_endpoint": f"{provider.url}/authorize",
                "token_endpoint": f"{provider.url}/token",
                "userinfo_endpoint": f"{provider.url}/userinfo",
                "jwks_uri": f"{provider.url}/jwks",
                "id_token_signing_alg_values_supported": ["RS256", "ES256"],
                "authorization_response_iss_parameter_supported": True,
            }
        )

    @app.get("/jwks")
    def jwks() -> Any:
        return said(KeySet([provider.key]).as_dict(private=False))

    @app.get("/user")
    @app.get("/user/emails")
    def github() -> Any:
        return jsonify(said({}))

    @app.get("/userinfo")
    def userinfo() -> Any:
        return said(provider.people[0])


def _endpoints(app: Flask, provider: Provider, server: AuthorizationServer) -> None:
    @app.get("/favicon.ico")
    def favicon() -> Any:
        return "", 204

    @app.get("/authorize")
    def choose() -> str:
        people = "".join(
            f'<button name="person" value="{index}">{person.get("email") or person["sub"]}</button>'
            for index, person in enumerate(provider.people)
        )
        return f'<!doctype html><title>Provider</title><h1>Who are you?</h1><form method="post">{people}</form>'

    @app.post("/authorize")
    def authorize() -> Response:
        person = provider.people[int(request.form["person"])]
        grant = server.get_consent_grant(end_user=person)
        answer: Response = server.create_authorization_response(grant_user=person, grant=grant)
        if provider.sends_issuer:
            answer.location = f"{answer.location}&{urlencode({'iss': provider.url})}"
        return answer

    @app.post("/token")
    def token() -> Any:
        answer = server.create_token_response()
        data = json.loads(answer.data)
        if "id_token" in data and provider.claims:
            decoded = jwt.decode(data["id_token"], provider.key)
            data["id_token"] = provider.sign(provider.claims(decoded.claims))
        if provider.token:
            return provider.token(data)
        return jsonify(data), answer.status_code


@contextmanager
def running_provider() -> Iterator[Provider]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    provider = Provider()
    served = make_server("127.0.0.1", 0, _application(provider), threaded=True)
    provider.url = f"http://127.0.0.1:{served.server_port}"
    threading.Thread(target=served.serve_forever, daemon=True).start()
    try:
        yield provider
    finally:
        served.shutdown()
        served.server_close()
