"""Sign-in with a provider, and its callback."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from flask import abort, g, redirect, request, url_for
from flask.typing import ResponseReturnValue

from app.auth import bp, challenges
from app.auth.services.sign_in import Authentication
from app.auth.sign_in_steps import begin_session
from app.auth.two_factor_views import ask_for_factor
from app.core import errors
from app.core.extensions import now, settings, settings_of
from app.core.principal import Principal
from app.core.tokens import keyed_hash
from app.oauth.clients import client_of, openid
from app.oauth.pending import keep_pending
from app.oauth.providers import Provider
from app.oauth.service import Connections, Identity
from app.oauth.settings import OAuthSettings
from app.unit_of_work import Work, reading, unit_of_work
from app.web import current_user, session_cookie
from app.web.access import open_in_maintenance, public
from app.web.limits import limited
from app.web.pages import page
from app.web.redirects import done, keep_next, kept_next, next_page, onward

if TYPE_CHECKING:
    from app.oauth.openid import Claims

log = logging.getLogger(__name__)

SIGN_IN, CONFIRM = "sign-in", "confirm"
FRESH_SECONDS = 300
TRIED_AGAIN_SECONDS = 5


@bp.get("/oauth/<provider>")
@public
@open_in_maintenance
@limited("login", method="GET")
def oauth(provider: str) -> ResponseReturnValue:
    """Redirect to the provider; with `?for=confirm` to confirm the user's identity there.

    A link from another site leads only to the sign-in page: nobody is signed in without a click here (login CSRF).
    """
    known_provider = _get(provider)
    if request.headers.get("Sec-Fetch-Site") == "cross-site":
        return redirect(url_for("auth.login", next=request.args.get("next")), code=303)
    purpose = CONFIRM if request.args.get("for") == CONFIRM and current_user.principal() else SIGN_IN
    state = challenges.issue_challenge("oauth", known_provider.name, purpose)
    try:
        url = client_of(known_provider).authorization_url(
            state=state, nonce=_nonce(state), verifier=_verifier(state), afresh=purpose == CONFIRM
        )
    except (openid().ProviderAway, openid().ProviderRefused) as problem:
        return _failed(known_provider, problem)
    keep_next(request.args.get("next"))
    return redirect(url, code=303)


@bp.get("/oauth/<provider>/callback")
@public
@open_in_maintenance
@limited("login", method="GET")
def callback(provider: str) -> ResponseReturnValue:
    """Back from the provider. Its code is exchanged once, and only for the browser that began."""
    g.referrer_policy = "no-referrer"  # The address has the code in it.
    known_provider = _get(provider)
    state, code = request.args.get("state", ""), request.args.get("code", "")
    try:
        began_with, purpose, *_ = challenges.spend("oauth", state)
    except errors.InvalidChallenge as refusal:
        _log(known_provider, "the state is unknown, used, expired or of another browser")
        if current_user.principal() is not None:  # In another tab they have signed in already.
            return onward(kept_next())
        return _refused(known_provider, str(refusal))
    if began_with != known_provider.name:
        _log(known_provider, "the state is of another provider")
        return _refused(known_provider, str(errors.InvalidChallenge()))
    if not code:
        return _without_a_code(known_provider)
    try:
        claims = client_of(known_provider).identify(
            code=code, issuer=request.args.get("iss"), nonce=_nonce(state), verifier=_verifier(state), at=now()
        )
    except (openid().ProviderAway, openid().ProviderRefused) as problem:
        return _failed(known_provider, problem)
    if not known_provider.lets_in(claims.email):
        _log(known_provider, "the domain of the address is not allowed")
        return _refused(
            known_provider,
            f"Only {' or '.join(known_provider.email_domains)} addresses can sign in with {known_provider.label}.",
            403,
        )
    who = current_user.principal()
    oauth_identity = Identity(known_provider.name, claims.issuer, claims.subject, claims.email, claims.name)
    if who is None:
        return _sign_in(known_provider, oauth_identity)
    return (
        _confirm(known_provider, oauth_identity, claims, who)
        if purpose == CONFIRM
        else _offer(known_provider, oauth_identity, who)
    )


def _sign_in(provider: Provider, oauth_identity: Identity) -> ResponseReturnValue:
    """Sign in to the connected account, or create one."""

    def prove(work: Work) -> Authentication:
        connection = work[Connections].find(oauth_identity) or work[Connections].sign_up(oauth_identity)
        work[Connections].note_use(connection, oauth_identity)
        return Authentication(connection.user_id, oauth_identity.provider)

    try:
        begin_session(prove)
    except errors.NotUsable as refusal:
        return _refused(provider, str(refusal), 403)
    except errors.SecondFactorRequired as required:
        return ask_for_factor(required, method=provider.name, remember=False, target=kept_next())
    except errors.EmailTaken:
        return _ask_whose(
            provider,
            oauth_identity,
            f"An account with {oauth_identity.email} already exists. Sign in to it to connect {provider.label}.",
        )
    except errors.RegistrationClosed:
        return _ask_whose(
            provider,
            oauth_identity,
            f"Sign-up is closed. If you have an account, sign in to connect {provider.label} to it.",
        )
    return onward(kept_next())


def _ask_whose(provider: Provider, oauth_identity: Identity, text: str) -> ResponseReturnValue:
    """Ask the user to sign in another way, then offer to connect the identity, which no account uses yet."""
    if oauth_identity.email is None and reading().registration_open:
        text = (
            f"{provider.label} sent no confirmed email address. Sign in another way or sign up, "
            f"then connect {provider.label}."
        )
    connect = url_for("account.connections", connect=keep_pending(oauth_identity))
    return done(text, to="auth.login", kind="info", next=connect)


def _offer(provider: Provider, oauth_identity: Identity, who: Principal) -> ResponseReturnValue:
    """Offer the signed-in user to connect the identity with a button, because another site may have started the
    request.
    """
    connection = reading()[Connections].find(oauth_identity)
    if connection is None:
        keep_pending(oauth_identity)
        return redirect(url_for("account.connections"), code=303)
    if connection.user_id != who.user_id:
        return done(
            f"That {provider.label} account is connected to another account.", to="account.connections", kind="error"
        )
    return done(f"{provider.label} is already connected.", to="account.connections")


def _confirm(provider: Provider, oauth_identity: Identity, claims: Claims, who: Principal) -> ResponseReturnValue:
    """Confirm the identity of a user without a password, who has just signed in at the provider."""
    authenticated_at = claims.authenticated_at
    is_fresh = authenticated_at is None or now().timestamp() - authenticated_at < FRESH_SECONDS
    with unit_of_work() as work:
        connection = work[Connections].find(oauth_identity)
        is_theirs = connection is not None and connection.user_id == who.user_id
        may = is_theirs and not work.users.has_password(who.user_id) and not work.factors.has_any(who.user_id)
        token = work.sessions.confirm(who) if may and is_fresh and who.impersonator_id is None else None
    if token is None:
        return _refused(
            provider, f"That didn't confirm it's you. Sign in with the {provider.label} account you connected.", 403
        )
    session_cookie.keep_token(token)
    return redirect(next_page(kept_next(), otherwise="account.profile"), code=303)


# ── refusals ──


def _without_a_code(provider: Provider) -> ResponseReturnValue:
    _log(provider, "access_denied" if request.args.get("error") == "access_denied" else "no code")
    if current_user.principal():
        return done(f"{provider.label} didn't sign you in. Nothing has changed.", to="account.connections", kind="info")
    return done(
        f"{provider.label} didn't sign you in. Try again, or sign in another way.",
        to="auth.login",
        kind="info",
        next=kept_next(),
    )


def _failed(provider: Provider, problem: Exception) -> ResponseReturnValue:
    _log(provider, str(problem))
    if isinstance(problem, openid().ProviderAway):
        text = f"{provider.label} isn't responding. Try again in a moment, or sign in another way."
        return _refused(provider, text, 503, retry_after=TRIED_AGAIN_SECONDS)
    return _refused(provider, f"We couldn't verify {provider.label}'s response. Start again.")


def _refused(
    provider: Provider, text: str, status: int = 400, *, retry_after: int | None = None
) -> ResponseReturnValue:
    is_in = current_user.principal() is not None
    g.refused_as = "provider_refused"
    return page(
        "auth/dead_link.html",
        status=status,
        retry_after=retry_after,
        heading=f"Couldn't sign in with {provider.label}",
        text=text,
        again_url=url_for("auth.oauth", provider=provider.name),
        again_text="Try again",
        other_url=url_for("account.connections" if is_in else "auth.login"),
        other_text="Connected accounts" if is_in else "Sign in another way",
    )


def _log(provider: Provider, reason: str) -> None:
    log.warning("a sign-in with a provider failed", extra={"provider": provider.name, "reason": reason})


# ── parts of the flow ──


def _get(name: str) -> Provider:
    return settings_of(OAuthSettings).find_provider(name) or abort(404)


def _nonce(state: str) -> str:
    return keyed_hash(settings().signing_keys[0], "nonce", state)


def _verifier(state: str) -> str:
    """Return the PKCE code verifier (RFC 7636), derived so that the cookie does not contain it."""
    return keyed_hash(settings().signing_keys[0], "code verifier", state)
