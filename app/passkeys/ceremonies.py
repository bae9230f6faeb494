"""Passkeys of this browser: challenges for pages, and verification of responses."""

import json
from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from flask import request

from app.auth import challenges
from app.auth.models import Authenticator
from app.auth.second_factors import SIGN_IN, ProvedFactor
from app.core import errors, urls
from app.core.extensions import settings
from app.core.principal import Principal
from app.passkeys.errors import BadPasskey
from app.passkeys.service import Passkeys
from app.passkeys.webauthn import (
    Assertion,
    NewPasskey,
    RelyingParty,
    creation_options,
    read_assertion,
    request_options,
    user_handle,
    verify,
    verify_new,
)
from app.site.current import brand
from app.unit_of_work import reading, unit_of_work

ADD = "add"
NOBODY = 0


def relying_party() -> RelyingParty | None:
    """Return the relying party: BASE_URL's host, in development localhost; None for an IP address."""
    at_localhost = not settings().is_live and urlsplit(request.host_url).hostname == "localhost"
    address = request.host_url if at_localhost else settings().public_url
    host = urlsplit(address).hostname or ""
    try:
        ip_address(host)
    except ValueError:
        return RelyingParty(host, urls.origin(address))
    return None


def options_to_sign_in() -> str | None:
    """Return JSON options for the browser: any passkey for this site, with user verification."""
    party = relying_party()
    if party is None:
        return None
    return json.dumps(request_options(party, challenge=_begin(SIGN_IN, NOBODY), existing=None))


def options_to_prove(purpose: str, user_id: int, mine: Sequence[Authenticator]) -> str | None:
    """Return JSON that asks the browser for one of these passkeys; None if there are none."""
    party = relying_party()
    if party is None or not mine:
        return None
    existing = [(passkey.credential_id or "", passkey.transports or []) for passkey in mine]
    return json.dumps(request_options(party, challenge=_begin(purpose, user_id), existing=existing))


def options_to_add(who: Principal, mine: Sequence[Authenticator]) -> str | None:
    party = relying_party()
    if party is None:
        return None
    options = creation_options(
        party,
        challenge=_begin(ADD, who.user_id),
        user_id=who.user_id,
        email=who.email,
        name=who.name,
        site_name=brand().name,
        existing=[passkey.credential_id or "" for passkey in mine],
    )
    return json.dumps(options)


def read_new(sent: str, *, user_id: int) -> NewPasskey:
    """Return the passkey that this browser has just created for `user_id`. Raises BadPasskey."""
    assertion, party = _answer(sent, ADD, user_id)
    return verify_new(assertion, party)


def read_proof(sent: str, *, purpose: str, user_id: int = NOBODY) -> tuple[Authenticator, int]:
    """Return the passkey that has signed this browser's challenge, and its counter; only of `user_id`, if given.

    As a first factor it must have verified its user. Raises BadPasskey.
    """
    assertion, party = _answer(sent, purpose, user_id)
    passkey = reading()[Passkeys].find(assertion.credential_id)
    if passkey is None or user_id not in {NOBODY, passkey.user_id}:
        raise BadPasskey("We don't know that passkey. It may have been removed.")
    if assertion.user_handle not in {None, user_handle(party, passkey.user_id)}:
        raise BadPasskey
    count = verify(assertion, party, public_key=passkey.public_key or b"", verifies_user=purpose == SIGN_IN)
    return passkey, count


def use_proof(sent: str, purpose: str, user_id: int) -> ProvedFactor:
    """Accept a response for `purpose` as a second factor of `user_id`. Raises BadPasskey."""
    passkey, count = read_proof(sent, purpose=purpose, user_id=user_id)
    with unit_of_work() as work:
        return work[Passkeys].use(passkey, sign_count=count)


def _begin(purpose: str, user_id: int) -> str:
    return challenges.issue_challenge(f"passkey:{purpose}", user_id, at_once=4)


def _answer(sent: str, purpose: str, user_id: int) -> tuple[Assertion, RelyingParty]:
    """Spend the challenge before anything else is checked."""
    assertion, party = read_assertion(sent), relying_party()
    try:
        bound_to = challenges.spend(f"passkey:{purpose}", assertion.challenge)
    except errors.InvalidChallenge as refusal:
        raise BadPasskey(str(refusal)) from None
    if bound_to != [user_id] or party is None:
        raise BadPasskey
    return assertion, party
