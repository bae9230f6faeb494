"""Recovery codes, and the normalization of typed codes."""

import secrets
import unicodedata

# Crockford's alphabet: no letter that could be taken for a digit.
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
RECOVERY_LENGTH = 16  # 80 bits.
RECOVERY_CODES = 10


def plain(typed: str) -> str:
    """Normalize a code: remove spaces and dashes, and convert capitals, other digits and look-alikes."""
    kept = "".join(character for character in unicodedata.normalize("NFKC", typed).lower() if character.isalnum())
    return "".join(str(unicodedata.decimal(character)) if character.isdecimal() else character for character in kept)


def as_recovery_code(code: str) -> str | None:
    """Return a normalized code with look-alikes corrected, if it can be a recovery code."""
    right = code.translate(str.maketrans("oil", "011"))
    return right if len(right) == RECOVERY_LENGTH and set(right) <= set(ALPHABET) else None


def new_recovery_codes() -> list[str]:
    """Return ten recovery codes as shown: four groups of four characters."""
    return [
        "-".join("".join(secrets.choice(ALPHABET) for _ in range(4)) for _ in range(4)) for _ in range(RECOVERY_CODES)
    ]
