"""The client of OAuth 2.0 (RFC 6749, 7636, 9207) and OpenID Connect.

Authlib implements the protocol, joserfc checks signatures; this module limits requests and time, and decides what is
accepted.
"""

import base64
import re
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from ipaddress import ip_address
from threading import BoundedSemaphore
from typing import Any
from urllib.parse import quote, urlsplit

from authlib.common.errors import AuthlibBaseError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry
from publicsuffixlist import PublicSuffixList
from requests import JSONDecodeError, RequestException, Response, Session, Timeout
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from app.core import errors
from app.core.addresses import canonical_address, clean_name
from app.core.deadline import Deadline
from app.oauth.providers import GITHUB, HOSTS, PROMPTS, Provider, is_safe

WAIT_SECONDS = 1.0
# To connect, between two reads, and for a whole exchange of up to five requests.
CONNECT_SECONDS, READ_SECONDS, WHOLE_SECONDS = 3.0, 5.0, 10.0
MAX_RESPONSE_BYTES = 256 * 1024
LEEWAY_SECONDS = 120
KEPT_SECONDS = 3600
KEYS_AGAIN_SECONDS = 60
MAX_SUBJECT_LENGTH = 255
# Asymmetric ones only: with HS256, anyone who knows a public key could sign.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint")
MICROSOFT = "https://login.microsoftonline.com/"
GITHUB_ENDPOINTS = {
    "issuer": "https://github.com",
    "authorization_endpoint": "https://github.com/login/oauth/authorize",
    "token_endpoint": "https://github.com/login/oauth/access_token",
    "userinfo_endpoint": "https://api.github.com/user",
    "token_endpoint_auth_methods_supported": ["client_secret_post"],
}
Document = dict[str, Any]


class ProviderAway(Exception):
    """The provider did not respond in time, or not validly; the message is a reason for the log."""


class ProviderRefused(Exception):
    """The provider refused, or its response can't be verified; the message is a reason for the log, without secrets."""


@dataclass(frozen=True, slots=True)
class Claims:
    """Who signs in, by (issuer, subject). `email` is canonical, and None unless the provider has confirmed it.

    `authenticated_at` is when they last proved it there, in seconds since 1970, if it says so.
    """

    issuer: str
    subject: str
    email: str | None
    name: str
    authenticated_at: float | None = None


class Client:
    """One provider's client. Its documents are kept for an hour; `at_once` bounds how many threads wait for it."""

    def __init__(self, provider: Provider, *, redirect_uri: str, at_once: BoundedSemaphore) -> None:
        self._provider = provider
        self._redirect_uri = redirect_uri
        self._at_once = at_once
        self._kept: dict[str, tuple[float, Document]] = {}

    def authorization_url(self, *, state: str, nonce: str, verifier: str, afresh: bool = False) -> str:
        """Return the URL to redirect to; with `afresh` the user must authenticate again. Raises ProviderAway,
        ProviderRefused.
        """
        prompt = PROMPTS.get(self._provider.name, "login")
        extra: dict[str, Any] = {"prompt": prompt, "max_age": 0} if afresh else {}
        if not self._is_github:
            extra["nonce"] = nonce
        with self._answers() as session:
            endpoint = self._endpoint(self._metadata(session), "authorization_endpoint")
            url, _ = session.create_authorization_url(endpoint, state=state, code_verifier=verifier, **extra)
        return str(url)

    def identify(self, *, code: str, issuer: str | None, nonce: str, verifier: str, at: datetime) -> Claims:
        """Exchange the code, and return who it is; `issuer` is the callback's `iss`. Raises ProviderAway,
        ProviderRefused.
        """
        with self._answers() as session:
            metadata = self._metadata(session)
            self._check_issuer(metadata, issuer)
            session.token_endpoint_auth_method = self._auth_method(metadata)
            session.fetch_token(
                self._endpoint(metadata, "token_endpoint"),
                grant_type="authorization_code",
                code=code,
                code_verifier=verifier,
                allow_redirects=False,
            )
            if self._is_github:
                return self._github_user(session, metadata)
            return self._openid_user(session, metadata, nonce=nonce, at=at)

    def check(self) -> None:
        """Fetch its document and check what that names. Raises ProviderAway, ProviderRefused."""
        with self._answers() as session:
            metadata = self._metadata(session)
            for name in ENDPOINTS if "userinfo_endpoint" in metadata else ENDPOINTS[:-1]:
                self._endpoint(metadata, name)

    @property
    def _is_github(self) -> bool:
        return self._provider.name == GITHUB

    @contextmanager
    def _answers(self) -> Iterator[OAuth2Session]:
        """Yield a session whose responses are limited in size and time; errors become one of the two exceptions."""
        if not self._at_once.acquire(timeout=WAIT_SECONDS):
            raise ProviderAway("too many wait for a provider")
        try:
            with (
                Deadline(WHOLE_SECONDS) as deadline,
                OAuth2Session(
                    self._provider.client_id,
                    self._provider.client_secret.get_secret_value() or None,
                    scope="user:email" if self._is_github else "openid email profile",
                    redirect_uri=self._redirect_uri,
                    code_challenge_method="S256",
                    default_timeout=(CONNECT_SECONDS, READ_SECONDS),
                ) as session,
            ):
                for scheme in ("https://", "http://"):
                    session.mount(scheme, _Adapter(deadline))
                session.headers["Accept-Encoding"] = "identity"
                session.stream = True
                session.hooks["response"].append(partial(_read, deadline))
                yield session
        except (RequestException, HTTPError) as problem:  # HTTPError while a body is read.
            raise ProviderAway(type(problem).__name__) from None
        except (AuthlibBaseError, JoseError) as problem:
            raise ProviderRefused(_reason(problem)) from None
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as problem:
            # The libraries raise these for malformed responses.
            raise ProviderRefused(type(problem).__name__) from None
        finally:
            self._at_once.release()

    # ── documents ──

    def _metadata(self, session: Session) -> Document:
        """Return the provider's metadata (OpenID Connect Discovery 1.0), whose issuer must be that of its URL."""
        if self._is_github:
            return GITHUB_ENDPOINTS
        url = self._provider.discovery_url
        document = self._document(session, url)
        issuer, _, rest = url.partition("/.well-known/")
        stated_issuer = document.get("issuer")
        is_template = url.startswith(MICROSOFT) and stated_issuer == f"{MICROSOFT}{{tenantid}}/v2.0"
        if not isinstance(stated_issuer, str) or not rest or not (stated_issuer.rstrip("/") == issuer or is_template):
            raise ProviderRefused("the issuer is not the one of the discovery URL")
        return document

    def _document(self, session: Session, url: str, *, at_most: float = KEPT_SECONDS) -> Document:
        fetched_at, document = self._kept.get(url, (0.0, {}))
        if document and time.monotonic() - fetched_at < at_most:
            return document
        document = _json(session.get(url, withhold_token=True, allow_redirects=False))  # type: ignore[call-arg]
        self._kept[url] = (time.monotonic(), document)
        return document

    @staticmethod
    def _check_issuer(metadata: Document, issuer: str | None) -> None:
        """Refuse a response of another provider, or one without a promised `iss` (RFC 9207)."""
        if issuer is None and metadata.get("authorization_response_iss_parameter_supported") is True:
            raise ProviderRefused("the answer names no issuer")
        if issuer is not None and issuer != metadata["issuer"] and "{tenantid}" not in metadata["issuer"]:
            raise ProviderRefused("the answer is of another issuer")

    def _endpoint(self, metadata: Document, name: str) -> str:
        """Return an endpoint. Raises ProviderRefused for an address that the discovery document must not name."""
        url, issuer = metadata.get(name), urlsplit(metadata["issuer"])
        if not isinstance(url, str) or not is_safe(url):
            raise ProviderRefused(f"{name} is missing or not https")
        parts = urlsplit(url)
        if parts.scheme != "https" and issuer.scheme == "https":
            raise ProviderRefused(f"{name} is not https")
        host = parts.hostname or ""
        listed = (*HOSTS.get(self._provider.name, ()), *self._provider.hosts)
        if host not in listed and _domain(host) != _domain(issuer.hostname or ""):
            raise ProviderRefused(f"{name} is on another domain, and OAUTH_..._HOSTS does not list {host}")
        return url

    def _auth_method(self, metadata: Document) -> Any:
        if not self._provider.client_secret.get_secret_value():
            return "none"
        methods = metadata.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        return _basic if "client_secret_basic" in methods else "client_secret_post"

    # ── responses ──

    def _openid_user(self, session: OAuth2Session, metadata: Document, *, nonce: str, at: datetime) -> Claims:
        claims = self._id_token(session, metadata, nonce=nonce, at=at)
        user_claims: Mapping[str, Any] = claims
        if "email" not in claims and "userinfo_endpoint" in metadata:
            user_claims = self._user_info(session, metadata)
            if user_claims.get("sub") != claims["sub"]:
                raise ProviderRefused("the user info is about another user")
        verified = user_claims.get("email_verified")
        is_confirmed = self._provider.trust_email or verified is True or verified == "true"
        when = claims.get("auth_time")
        return Claims(
            issuer=claims["iss"],
            subject=_subject(claims["sub"]),
            email=_email(user_claims.get("email")) if is_confirmed else None,
            name=_name(user_claims.get("name")),
            authenticated_at=float(when) if when is not None else None,
        )

    def _user_info(self, session: OAuth2Session, metadata: Document) -> Mapping[str, Any]:
        """Return user info from JSON, or from a JWT signed by the provider (OpenID Connect Core 1.0, section 5.3.2)."""
        response = session.get(self._endpoint(metadata, "userinfo_endpoint"), allow_redirects=False)
        if not response.headers.get("Content-Type", "").startswith("application/jwt"):
            return _json(response)
        token = response.text.strip()
        if token.count(".") != 2:
            raise ProviderRefused("the user info is encrypted")
        signed = JWSRegistry(algorithms=[*ALGORITHMS], strict_check_header=False)
        claims = self._decode(session, metadata, token, signed).claims
        audience = claims.get("aud", self._provider.client_id)
        is_ours = self._provider.client_id in ([audience] if isinstance(audience, str) else audience)
        if not is_ours or claims.get("iss", metadata["issuer"]) != metadata["issuer"]:
            raise ProviderRefused("the user info is of another issuer or for another client")
        return claims

    def _id_token(self, session: OAuth2Session, metadata: Document, *, nonce: str, at: datetime) -> CodeIDToken:
        """Return the claims of the ID token, validated by OpenID Connect Core 1.0, section 3.1.3.7."""
        token = session.token
        offered = metadata.get("id_token_signing_alg_values_supported") or ["RS256"]
        signed = JWSRegistry(
            algorithms=[algorithm for algorithm in ALGORITHMS if algorithm in offered], strict_check_header=False
        )
        decoded = self._decode(session, metadata, str(token["id_token"]), signed)
        issuer = metadata["issuer"]
        if "{tenantid}" in issuer:
            tenant = decoded.claims.get("tid")
            if not isinstance(tenant, str) or not re.fullmatch(r"[0-9a-f-]{36}", tenant):
                raise ProviderRefused("the tenant is missing")
            issuer = issuer.replace("{tenantid}", tenant)
        client_id = self._provider.client_id
        claims = CodeIDToken(
            decoded.claims,
            decoded.header,
            {"iss": {"essential": True, "value": issuer}, "aud": {"essential": True, "value": client_id}},
            {"nonce": nonce, "client_id": client_id, "access_token": token["access_token"]},
        )
        claims.validate(now=int(at.timestamp()), leeway=LEEWAY_SECONDS)
        # A token with several audiences names the authorized party.
        if claims["aud"] not in (client_id, [client_id]) and claims.get("azp") != client_id:
            raise ProviderRefused("the token is for others, too")
        return claims

    def _decode(self, session: Session, metadata: Document, token: str, signed: JWSRegistry) -> jwt.Token:
        """Verify a token with the key it names; the provider may have added one since the keys were fetched."""
        url = self._endpoint(metadata, "jwks_uri")
        try:
            return jwt.decode(token, _keys(self._document(session, url)), registry=signed)
        except (InvalidKeyIdError, ValueError):
            return jwt.decode(token, _keys(self._document(session, url, at_most=KEYS_AGAIN_SECONDS)), registry=signed)

    @staticmethod
    def _github_user(session: Session, metadata: Document) -> Claims:
        user = _json(session.get(metadata["userinfo_endpoint"], allow_redirects=False))
        listed = session.get(f"{metadata['userinfo_endpoint']}/emails", allow_redirects=False).json()
        mine = [name["email"] for name in listed if name["primary"] is True and name["verified"] is True]
        return Claims(
            issuer=metadata["issuer"],
            # Logins change hands; ids do not.
            subject=_subject(str(int(user["id"]))),
            email=_email(mine[0]) if mine else None,
            name=_name(user.get("name")),
        )


class _Adapter(HTTPAdapter):
    """Connects within the deadline, also through a proxy."""

    def __init__(self, deadline: Deadline) -> None:
        self._pools = {
            pool.scheme: type(pool.__name__, (pool,), {"ConnectionCls": _watched(pool.ConnectionCls, deadline)})
            for pool in (HTTPConnectionPool, HTTPSConnectionPool)
        }
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **named: Any) -> None:
        super().init_poolmanager(*arguments, **named)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, *arguments: Any, **named: Any) -> Any:
        manager = super().proxy_manager_for(*arguments, **named)
        manager.pool_classes_by_scheme = self._pools
        return manager


def _watched(connection: Any, deadline: Deadline) -> Any:
    class Watched(connection):  # type: ignore[misc]
        def _new_conn(self) -> socket.socket:
            return deadline.connect(self.host, self.port, at_most=CONNECT_SECONDS)

    return Watched


def _read(deadline: Deadline, response: Response, *_: Any, **__: Any) -> None:
    """Read the body within the limits, whatever pace and size the provider chooses."""
    body = bytearray()
    while piece := response.raw.read1(16 * 1024):
        body += piece
        if len(body) > MAX_RESPONSE_BYTES:
            response.close()
            raise RequestException("too large")
    try:
        deadline.left()  # A response cut off by the deadline looks complete.
    except TimeoutError:
        raise Timeout("the deadline has passed") from None
    response._content = bytes(body)


def _json(response: Response) -> Document:
    """Raises ProviderAway unless the status is 200, ProviderRefused unless it is a JSON object."""
    if response.status_code != 200:
        raise ProviderAway(f"status {response.status_code}")
    try:
        document = response.json()
    except JSONDecodeError:
        raise ProviderRefused(f"no JSON, but {response.headers.get('Content-Type', 'nothing')[:60]}") from None
    if not isinstance(document, dict):
        raise ProviderRefused("no JSON object")
    return document


def _basic(client: Any, method: str, uri: str, headers: Any, body: Any) -> tuple[Any, Any, Any]:
    """Return HTTP Basic credentials with both parts form-encoded (RFC 6749, section 2.3.1), which Authlib omits."""
    text = f"{quote(client.client_id, safe='')}:{quote(client.client_secret, safe='')}"
    headers["Authorization"] = f"Basic {base64.b64encode(text.encode()).decode()}"
    return uri, headers, body


def _domain(host: str) -> str:
    """Return the registrable domain (example.co.uk) by the Public Suffix List, or the host itself."""
    try:
        return str(ip_address(host))
    except ValueError:
        return _public_suffixes().privatesuffix(host.rstrip(".")) or host


@cache
def _public_suffixes() -> PublicSuffixList:
    return PublicSuffixList()


def _keys(document: Document) -> KeySet:
    """Return signing keys of supported types."""
    listed = [key for key in document["keys"] if key.get("kty") in {"RSA", "EC"} and key.get("use") != "enc"]
    return KeySet.import_key_set({"keys": listed})


def _subject(subject: Any) -> str:
    if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT_LENGTH or not subject.isprintable():
        raise ProviderRefused("the subject is missing or too long")
    return subject


def _email(claim: Any) -> str | None:
    """Return the canonical address, or None if that is more than lower case: the confirmed mailbox could be a different
    one.
    """
    try:
        canonical = canonical_address(claim) if isinstance(claim, str) else ""
    except errors.InvalidAddress:
        return None
    return canonical if canonical and canonical == claim.lower() else None


def _name(claim: Any) -> str:
    try:
        return clean_name(claim) if isinstance(claim, str) else ""
    except errors.InvalidName:
        return ""


def _reason(problem: Exception) -> str:
    """Return the standard error code; descriptions are the provider's text."""
    code = str(getattr(problem, "error", "") or type(problem).__name__)
    return code if re.fullmatch(r"[a-z_]{1,60}", code) else type(problem).__name__
