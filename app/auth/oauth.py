"""Sign-in with a provider: to it, back from it, and what follows from who it says it is."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from flask import abort, g, redirect, request, url_for
from flask.typing import ResponseReturnValue

from app.auth import bp
from app.auth.two_factor import ask_for_factor
from app.errors import EmailTaken, InvalidChallenge, NotUsable, RegistrationClosed, SecondFactorRequired
from app.extensions import now, settings
from app.principal import Principal
from app.providers import Provider
from app.security.tokens import keyed_hash
from app.services.connections import Identity
from app.services.sign_in import Authentication
from app.unit_of_work import Work, reading, unit_of_work
from app.web import challenges, identity
from app.web.access import open_in_maintenance, public
from app.web.limits import limited
from app.web.pages import page
from app.web.providers import client_of, openid
from app.web.redirects import done, keep_next, kept_next, next_page, onward
from app.web.sign_in import begin_session

if TYPE_CHECKING:
    from app.openid import Claims

log = logging.getLogger(__name__)

SIGN_IN, CONFIRM = "sign-in", "confirm"
FRESH_SECONDS = 300
TRIED_AGAIN_SECONDS = 5


@bp.get("/oauth/<provider>")
@public
@open_in_maintenance
@limited("login", method="GET")
def oauth(provider: str) -> ResponseReturnValue:
    """To the provider; with `?for=confirm` to prove there again who one is.

    From another site it leads to the sign-in page only: nobody is signed in without a click here (login CSRF).
    """
    chosen = _get(provider)
    if request.headers.get("Sec-Fetch-Site") == "cross-site":
        return redirect(url_for("auth.login", next=request.args.get("next")), code=303)
    purpose = CONFIRM if request.args.get("for") == CONFIRM and identity.principal() else SIGN_IN
    state = challenges.issue_challenge("oauth", chosen.name, purpose)
    try:
        url = client_of(chosen).authorization_url(
            state=state, nonce=_nonce(state), verifier=_verifier(state), afresh=purpose == CONFIRM
        )
    except (openid().ProviderAway, openid().ProviderRefused) as problem:
        return _failed(chosen, problem)
    keep_next(request.args.get("next"))
    return redirect(url, code=303)


@bp.get("/oauth/<provider>/callback")
@public
@open_in_maintenance
@limited("login", method="GET")
def callback(provider: str) -> ResponseReturnValue:
    """Back from the provider. Its code is exchanged once, and only for the browser that began."""
    g.referrer_policy = "no-referrer"  # The address has the code in it.
    chosen = _get(provider)
    state, code = request.args.get("state", ""), request.args.get("code", "")
    try:
        began_with, purpose, *_ = challenges.spend("oauth", state)
    except InvalidChallenge as refusal:
        _log(chosen, "the state is unknown, used, expired or of another browser")
        if identity.principal() is not None:  # In another tab they have signed in already.
            return onward(kept_next())
        return _refused(chosen, str(refusal))
    if began_with != chosen.name:
        _log(chosen, "the state is of another provider")
        return _refused(chosen, str(InvalidChallenge()))
    if not code:
        return _without_a_code(chosen)
    try:
        claims = client_of(chosen).identify(
            code=code, issuer=request.args.get("iss"), nonce=_nonce(state), verifier=_verifier(state), at=now()
        )
    except (openid().ProviderAway, openid().ProviderRefused) as problem:
        return _failed(chosen, problem)
    if not chosen.lets_in(claims.email):
        _log(chosen, "the domain of the address is not allowed")
        return _refused(
            chosen, f"Only {' or '.join(chosen.email_domains)} addresses can sign in with {chosen.label}.", 403
        )
    who = identity.principal()
    known = Identity(chosen.name, claims.issuer, claims.subject, claims.email, claims.name)
    if who is None:
        return _sign_in(chosen, known)
    return _confirm(chosen, known, claims, who) if purpose == CONFIRM else _offer(chosen, known, who)


def _sign_in(chosen: Provider, known: Identity) -> ResponseReturnValue:
    """For the account that is connected, or a new one."""

    def prove(work: Work) -> Authentication:
        found = work.connections.find(known) or work.connections.sign_up(known)
        work.connections.note_use(found, known)
        return Authentication(found.user_id, known.provider)

    try:
        begin_session(prove)
    except NotUsable as refusal:
        return _refused(chosen, str(refusal), 403)
    except SecondFactorRequired as asked:
        return ask_for_factor(asked, method=chosen.name, remember=False, target=kept_next())
    except EmailTaken:
        return _ask_whose(
            chosen,
            known,
            f"An account with {known.email} already exists. Sign in to it to connect {chosen.label}.",
        )
    except RegistrationClosed:
        return _ask_whose(
            chosen,
            known,
            f"Sign-up is closed. If you have an account, sign in to connect {chosen.label} to it.",
        )
    return onward(kept_next())


def _ask_whose(chosen: Provider, known: Identity, text: str) -> ResponseReturnValue:
    """It is nobody's yet: its owner signs in in another way, which proves the account, and connects it then."""
    if known.email is None and reading().registration_open:
        text = (
            f"{chosen.label} sent no confirmed email address. Sign in another way or sign up, "
            f"then connect {chosen.label}."
        )
    connect = url_for("account.connections", connect=identity.keep_pending(known))
    return done(text, to="auth.login", kind="info", next=connect)


def _offer(chosen: Provider, known: Identity, who: Principal) -> ResponseReturnValue:
    """Who is signed in may connect it, by a button: the way here could have been somebody else's doing."""
    found = reading().connections.find(known)
    if found is None:
        identity.keep_pending(known)
        return redirect(url_for("account.connections"), code=303)
    if found.user_id != who.user_id:
        return done(
            f"That {chosen.label} account is connected to another account.", to="account.connections", kind="error"
        )
    return done(f"{chosen.label} is already connected.", to="account.connections")


def _confirm(chosen: Provider, known: Identity, claims: Claims, who: Principal) -> ResponseReturnValue:
    """For an account without a password: they have proved it there a moment ago, as far as the provider says."""
    said = claims.authenticated_at
    is_fresh = said is None or now().timestamp() - said < FRESH_SECONDS
    with unit_of_work() as work:
        found = work.connections.find(known)
        is_theirs = found is not None and found.user_id == who.user_id
        may = is_theirs and not work.connections.has_password(who.user_id) and not work.factors.has_any(who.user_id)
        token = work.sessions.confirm(who) if may and is_fresh and who.impersonator_id is None else None
    if token is None:
        return _refused(
            chosen, f"That didn't confirm it's you. Sign in with the {chosen.label} account you connected.", 403
        )
    identity.keep_token(token)
    return redirect(next_page(kept_next(), otherwise="account.profile"), code=303)


# ── refusals ──


def _without_a_code(chosen: Provider) -> ResponseReturnValue:
    _log(chosen, "access_denied" if request.args.get("error") == "access_denied" else "no code")
    if identity.principal():
        return done(f"{chosen.label} didn't sign you in. Nothing has changed.", to="account.connections", kind="info")
    return done(
        f"{chosen.label} didn't sign you in. Try again, or sign in another way.",
        to="auth.login",
        kind="info",
        next=kept_next(),
    )


def _failed(chosen: Provider, problem: Exception) -> ResponseReturnValue:
    _log(chosen, str(problem))
    if isinstance(problem, openid().ProviderAway):
        text = f"{chosen.label} isn't responding. Try again in a moment, or sign in another way."
        return _refused(chosen, text, 503, retry_after=TRIED_AGAIN_SECONDS)
    return _refused(chosen, f"We couldn't verify {chosen.label}'s response. Start again.")


def _refused(chosen: Provider, text: str, status: int = 400, *, retry_after: int | None = None) -> ResponseReturnValue:
    is_in = identity.principal() is not None
    g.refused_as = "provider_refused"
    return page(
        "auth/dead_link.html",
        status=status,
        retry_after=retry_after,
        heading=f"Couldn't sign in with {chosen.label}",
        text=text,
        again_url=url_for("auth.oauth", provider=chosen.name),
        again_text="Try again",
        other_url=url_for("account.connections" if is_in else "auth.login"),
        other_text="Connected accounts" if is_in else "Sign in another way",
    )


def _log(chosen: Provider, reason: str) -> None:
    log.warning("a sign-in with a provider failed", extra={"provider": chosen.name, "reason": reason})


# ── what the flow is made of ──


def _get(name: str) -> Provider:
    return settings().find_provider(name) or abort(404)


def _nonce(state: str) -> str:
    return keyed_hash(settings().signing_keys[0], "nonce", state)


def _verifier(state: str) -> str:
    """The code verifier (RFC 7636): derived, so that the cookie need not hold it."""
    return keyed_hash(settings().signing_keys[0], "code verifier", state)
