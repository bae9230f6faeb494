"""TOTP codes (RFC 6238), recovery codes and QR codes."""

import secrets
import unicodedata
from datetime import datetime

import pyotp
import segno

STEP_SECONDS = 30
DRIFT = 1  # Steps that a clock may be wrong by, in both directions.
DIGITS = 6
# Crockford's alphabet: no letter that could be taken for a digit.
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
RECOVERY_LENGTH = 16  # 80 bits.
RECOVERY_CODES = 10


def new_seed() -> str:
    """Return 160 random bits in base32 (RFC 4226, section 4, requirement R6)."""
    return pyotp.random_base32(32)


def seed_uri(seed: str, *, account: str, issuer: str) -> str:
    """Return the `otpauth://` URI that authenticator apps read."""
    return pyotp.TOTP(seed).provisioning_uri(name=account, issuer_name=issuer)


def qr_code(text: str) -> str:
    """Return `text` as an inline SVG, dark on light in any color scheme."""
    qr = segno.make(text, error="m", micro=False)
    drawn: str = qr.svg_inline(
        scale=5, border=4, dark="#000", light="#fff", omitsize=True, svgclass="qr", lineclass=None
    )
    return drawn


def matching_step(seed: str, code: str, *, at: datetime) -> int | None:
    """Return the time step of `code` (six ASCII digits), at most DRIFT away from now, or None."""
    now = int(at.timestamp()) // STEP_SECONDS
    totp = pyotp.TOTP(seed)
    matching = None
    for step in range(now - DRIFT, now + DRIFT + 1):
        if secrets.compare_digest(totp.generate_otp(step), code):
            matching = step
    return matching


def plain(typed: str) -> str:
    """Normalize a code: remove spaces and dashes, and convert capitals, other digits and look-alikes."""
    kept = "".join(character for character in unicodedata.normalize("NFKC", typed).lower() if character.isalnum())
    return "".join(str(unicodedata.decimal(character)) if character.isdecimal() else character for character in kept)


def is_time_code(code: str) -> bool:
    return len(code) == DIGITS and code.isascii() and code.isdigit()


def as_recovery_code(code: str) -> str | None:
    """Return a normalized code with look-alikes corrected, if it can be a recovery code."""
    right = code.translate(str.maketrans("oil", "011"))
    return right if len(right) == RECOVERY_LENGTH and set(right) <= set(ALPHABET) else None


def new_recovery_codes() -> list[str]:
    """Return ten recovery codes as shown: four groups of four characters."""
    return [
        "-".join("".join(secrets.choice(ALPHABET) for _ in range(4)) for _ in range(4)) for _ in range(RECOVERY_CODES)
    ]
