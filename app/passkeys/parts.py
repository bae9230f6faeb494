"""Passkeys on pages of the core."""

from typing import Any

from app.auth.models import Authenticator
from app.auth.second_factors import CONFIRM, SIGN_IN, TWO_FACTOR, UNDO, ProofRequest
from app.core.principal import Principal
from app.passkeys.ceremonies import options_to_prove, options_to_sign_in
from app.passkeys.service import PASSKEY, Passkeys
from app.unit_of_work import Work

# Text and kind of the button by purpose.
BUTTONS = {
    SIGN_IN: ("Sign in with a passkey", "secondary"),
    TWO_FACTOR: ("Use a passkey", "primary"),
    CONFIRM: ("Use a passkey", "primary"),
    UNDO: ("Use a passkey", "danger"),
}


def load_button(services: Work, _: Principal | None, proof_request: ProofRequest) -> dict[str, Any] | None:
    if proof_request.user_id is None:
        options = options_to_sign_in()
    else:
        options = options_to_prove(
            proof_request.purpose, proof_request.user_id, _usable(services, proof_request.user_id, proof_request)
        )
    if options is None:
        return None
    text, kind = BUTTONS[proof_request.purpose]
    return {
        "options": options,
        "purpose": proof_request.purpose,
        "next": proof_request.next,
        "link": proof_request.link,
        "text": text,
        "kind": kind,
        "offer": proof_request.purpose == SIGN_IN,
    }


def _usable(services: Work, user_id: int, proof_request: ProofRequest) -> list[Authenticator]:
    if proof_request.before is None:
        return services[Passkeys].list_of(user_id)
    return [factor for factor in services.factors.list_older(user_id, proof_request.before) if factor.kind == PASSKEY]


def load_passkeys(services: Work, who: Principal) -> dict[str, Any]:
    return {"passkeys": services[Passkeys].list_of(who.user_id)}
