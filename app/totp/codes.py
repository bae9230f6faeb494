"""TOTP codes (RFC 6238), and QR codes to set them up."""

import secrets
from datetime import datetime

import pyotp
import segno

STEP_SECONDS = 30
DRIFT = 1  # Steps that a clock may be wrong by, in both directions.
DIGITS = 6


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


def is_time_code(code: str) -> bool:
    return len(code) == DIGITS and code.isascii() and code.isdigit()
