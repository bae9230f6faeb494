"""The format of API keys: a prefix, 256 random bits and a checksum, for secret scanners."""

import re
import secrets
import zlib

PREFIX = "ghk_"
SHOWN = 10
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BODY, _SUM = 43, 6
_SHAPE = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{_BODY + _SUM}}}")


def new_api_key() -> str:
    """Return `ghk_`, 43 characters of base 62 (256 bits), and 6 of their CRC-32."""
    body = "".join(secrets.choice(_DIGITS) for _ in range(_BODY))
    return f"{PREFIX}{body}{_checksum(body)}"


def is_api_key(text: str) -> bool:
    """Return whether text has the form and checksum of a key; only the database knows whether it is valid."""
    if not _SHAPE.fullmatch(text):
        return False
    body, checksum = text[len(PREFIX) : -_SUM], text[-_SUM:]
    return _checksum(body) == checksum


def shown_part(key: str) -> str:
    """Return the visible part of a key, for its owner to recognize."""
    return key[:SHOWN]


def _checksum(body: str) -> str:
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(_SUM):
        number, digit = divmod(number, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return digits
