"""The canonical form of email addresses and names, used by every entry point."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING

from app.core import errors
from app.core.lengths import MAX_ADDRESS_LENGTH, MAX_NAME_LENGTH

if TYPE_CHECKING:
    from email_validator import ValidatedEmail

# Local parts of these characters need no further check (RFC 5322 allows more). Nearly all addresses have such a one.
PLAIN_LOCAL_PART = re.compile(r"(?=.{1,64}\Z)[a-z0-9_+-]+(?:\.[a-z0-9_+-]+)*")
# Letters and symbols without a visible glyph: the Hangul fillers and the blank Braille pattern.
BLANKS = frozenset("\u115f\u1160\u3164\uffa0\u2800")
# Control characters, separators of lines and paragraphs, what makes text read as something else (the bidirectional
# controls of Unicode TR 36), and noncharacters. To be put between the brackets of a regular expression.
NOT_IN_NAMES = r"\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufdd0-\ufdef\ufffe\uffff"


def canonical_address(typed: str) -> str:
    """Return the local part in NFKC and lower case, and the domain in ASCII (IDNA 2008, non-transitional). Raises
    InvalidAddress.

    RFC 5321 lets a host distinguish `Ada@` from `ada@`. No host does in practice, and two accounts that differ by a
    capital letter would be an attack. Nothing is case-folded: that would turn `ß` into `ss` and change the Greek final
    sigma, which in a domain belongs to a different owner.
    """
    text = unicodedata.normalize("NFKC", typed.strip())
    if len(text) > MAX_ADDRESS_LENGTH:
        raise errors.InvalidAddress
    local, _, domain = text.rpartition("@")
    local = _lower(local)
    if not PLAIN_LOCAL_PART.fullmatch(local):
        local = _validate(f"{local}@{domain}").local_part
    address = f"{local}@{_canonical_domain(domain)}"
    if len(address) > MAX_ADDRESS_LENGTH:
        raise errors.InvalidAddress
    return address


@lru_cache(maxsize=1024)
def _canonical_domain(domain: str) -> str:
    """Return the domain in ASCII and lower case; an import asks for the same few domains again and again."""
    ascii_domain = _validate(f"a@{domain}").ascii_domain.lower()
    # Mail goes to a name with a dot whose last label is not a number.
    if "." not in ascii_domain or ascii_domain.rpartition(".")[2].isdigit():
        raise errors.InvalidAddress
    return ascii_domain


def _validate(address: str) -> ValidatedEmail:
    """Validate an address; lowers the domain's case by UTS 46. Raises InvalidAddress, also for reserved domains."""
    from email_validator import EmailNotValidError, validate_email  # noqa: PLC0415 - loaded with the first address.

    try:
        return validate_email(address, check_deliverability=False, globally_deliverable=False, strict=True)
    except (EmailNotValidError, UnicodeError):
        raise errors.InvalidAddress from None


def reserved_domains() -> tuple[str, ...]:
    """Return domains that receive no email (RFC 6761); `.internal` is allowed."""
    from email_validator import SPECIAL_USE_DOMAIN_NAMES  # noqa: PLC0415

    return tuple(SPECIAL_USE_DOMAIN_NAMES)


def searched_address(typed: str) -> str:
    """Return the canonical form of an address, or the nearest form of a prefix."""
    try:
        return canonical_address(typed)
    except errors.InvalidAddress:
        return _lower(unicodedata.normalize("NFKC", typed.strip()))


def _lower(text: str) -> str:
    """Return lower case that is still NFKC: `İ` becomes two characters."""
    return unicodedata.normalize("NFKC", text.lower())


def clean_name(typed: str, *, longest: int = MAX_NAME_LENGTH) -> str:
    """Return a name in NFC, trimmed, with white space collapsed. Raises InvalidName."""
    text = " ".join(word for word in unicodedata.normalize("NFC", typed).split(" ") if word).strip()
    if re.search(rf"[{NOT_IN_NAMES}\ud800-\udfff]", text):
        raise errors.InvalidName
    if text and not any(map(_is_visible, text)):
        raise errors.InvalidName("Use at least one visible character.")
    if len(text) > longest:
        raise errors.InvalidName(f"Use at most {longest} characters.")
    return text


def _is_visible(character: str) -> bool:
    """Return whether a character is visible; unassigned code points pass, as they may be newer than this Python."""
    return character not in BLANKS and unicodedata.category(character) not in {"Zs", "Cf", "Mn", "Me"}
