"""Passkeys (W3C Web Authentication, level 2): options for browsers, and verification of their responses."""

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.passkeys.errors import BadPasskey

ALGORITHMS = (-8, -7, -257)  # EdDSA, ES256, RS256 (IANA's COSE registry).
TIMEOUT_MS = 5 * 60 * 1000
MAX_ID_LENGTH = 1023  # Bytes, by the standard.


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """`id` is a domain; `origin` is where its pages are."""

    id: str
    origin: str


@dataclass(frozen=True, slots=True)
class NewPasskey:
    """`credential_id` is base64url; `public_key` is COSE."""

    credential_id: str
    public_key: bytes
    sign_count: int
    transports: list[str]


@dataclass(frozen=True, slots=True)
class Assertion:
    """A browser's response, parsed but not verified: the claimed user, and the challenge."""

    credential_id: str
    challenge: str
    user_handle: str | None
    sent: dict[str, Any]


def creation_options(
    party: RelyingParty, *, challenge: str, user_id: int, email: str, name: str, site_name: str, existing: Sequence[str]
) -> dict[str, Any]:
    """Return options for `navigator.credentials.create`; `existing` are the user's credential IDs."""
    return {
        "rp": {"id": party.id, "name": site_name},
        "user": {"id": user_handle(party, user_id), "name": email, "displayName": name or email},
        "challenge": encoded(challenge.encode()),
        "pubKeyCredParams": [{"type": "public-key", "alg": algorithm} for algorithm in ALGORITHMS],
        "timeout": TIMEOUT_MS,
        "excludeCredentials": [{"type": "public-key", "id": credential} for credential in existing],
        "authenticatorSelection": {"residentKey": "preferred", "userVerification": "preferred"},
        "attestation": "none",
    }


def request_options(
    party: RelyingParty, *, challenge: str, existing: Sequence[tuple[str, list[str]]] | None
) -> dict[str, Any]:
    """Return options for `navigator.credentials.get`: for one of `existing` (id, transports), or for any passkey."""
    return {
        "rpId": party.id,
        "challenge": encoded(challenge.encode()),
        "timeout": TIMEOUT_MS,
        "userVerification": "required" if existing is None else "preferred",
        "allowCredentials": [
            {"type": "public-key", "id": credential, "transports": how} for credential, how in existing or []
        ],
    }


def user_handle(party: RelyingParty, user_id: int) -> str:
    """Return the account's ID for authenticators: stable, and without name or address."""
    return encoded(hashlib.sha256(f"{party.id} {user_id}".encode()).digest())


def read_assertion(sent: str) -> Assertion:
    """Raises BadPasskey."""
    try:
        parsed = json.loads(sent)
        client = json.loads(decoded(parsed["response"]["clientDataJSON"]))
        challenge = decoded(client["challenge"]).decode("ascii")
        credential_id, handle = parsed["id"], parsed["response"].get("userHandle")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise BadPasskey from None
    if not isinstance(credential_id, str) or not isinstance(handle, str | None):
        raise BadPasskey
    return Assertion(credential_id, challenge, handle or None, parsed)


def verify_new(assertion: Assertion, party: RelyingParty) -> NewPasskey:
    """Return the new passkey if its browser answered our challenge on our pages. Raises BadPasskey."""
    from webauthn import verify_registration_response  # noqa: PLC0415 - a fifth of a second to load.
    from webauthn.helpers.cose import COSEAlgorithmIdentifier  # noqa: PLC0415
    from webauthn.helpers.exceptions import WebAuthnException  # noqa: PLC0415

    try:
        verified = verify_registration_response(
            credential=assertion.sent,
            expected_challenge=assertion.challenge.encode(),
            expected_rp_id=party.id,
            expected_origin=party.origin,
            supported_pub_key_algs=[COSEAlgorithmIdentifier(algorithm) for algorithm in ALGORITHMS],
        )
    except (WebAuthnException, ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError):
        raise BadPasskey from None
    if not 0 < len(verified.credential_id) <= MAX_ID_LENGTH:
        raise BadPasskey
    how = assertion.sent["response"].get("transports")
    return NewPasskey(
        credential_id=encoded(verified.credential_id),
        public_key=verified.credential_public_key,
        sign_count=verified.sign_count,
        transports=[transport for transport in how if isinstance(transport, str) and len(transport) < 20][:8]
        if isinstance(how, list)
        else [],
    )


def verify(assertion: Assertion, party: RelyingParty, *, public_key: bytes, verifies_user: bool) -> int:
    """Return the authenticator's counter if the passkey with this key signed our challenge on our pages.

    With `verifies_user` the device has to have checked who uses it (a PIN, a finger, a face). Raises BadPasskey.
    """
    from webauthn import verify_authentication_response  # noqa: PLC0415
    from webauthn.helpers.exceptions import WebAuthnException  # noqa: PLC0415

    try:
        verified = verify_authentication_response(
            credential=assertion.sent,
            expected_challenge=assertion.challenge.encode(),
            expected_rp_id=party.id,
            expected_origin=party.origin,
            credential_public_key=public_key,
            credential_current_sign_count=0,  # Compared where it is stored.
            require_user_verification=verifies_user,
        )
    except (WebAuthnException, ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError):
        raise BadPasskey from None
    return verified.new_sign_count


def encoded(data: bytes) -> str:
    """Encode as base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    """Raises ValueError."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
