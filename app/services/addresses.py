"""One canonical form of an email address and one form of a name, decided here and used on every path."""

from __future__ import annotations

import re
import unicodedata

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email

from app.errors import InvalidAddress, InvalidName

LONGEST_ADDRESS = 254  # RFC 5321, section 4.5.3.1.3 less the angle brackets.
# No mail goes there (RFC 6761); `.internal` is for its owners to use.
RESERVED_DOMAINS = tuple(SPECIAL_USE_DOMAIN_NAMES)
LONGEST_NAME = 100
# Control characters, separators of lines and paragraphs, what makes text read as something else (the bidirectional
# controls of Unicode TR 36), and what is no character. As it stands between the brackets of any regular expression.
NOT_IN_NAMES = r"\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufdd0-\ufdef\ufffe\uffff"


def canonical_address(typed: str) -> str:
    """Trimmed, NFKC, case-folded, with the domain in its IDNA (ASCII) form. Raises InvalidAddress.

    Folding the local part is a choice: RFC 5321 lets a host tell `Ada@` from `ada@`, no living one does, and two
    accounts that differ by a capital letter are an attack.
    """
    text = unicodedata.normalize("NFKC", typed.strip()).casefold()
    if len(text) > LONGEST_ADDRESS:
        raise InvalidAddress
    try:
        # It refuses RESERVED_DOMAINS.
        found = validate_email(text, check_deliverability=False, globally_deliverable=False, strict=True)
    except (EmailNotValidError, UnicodeError):
        raise InvalidAddress from None
    address = f"{found.local_part}@{found.ascii_domain}".casefold()
    if not _is_host_name(found.ascii_domain) or len(address) > LONGEST_ADDRESS:
        raise InvalidAddress
    return address


def _is_host_name(domain: str) -> bool:
    """Whether mail could go there: a name with a dot whose last label is no number."""
    return "." in domain and not domain.rpartition(".")[2].isdigit()


def clean_name(typed: str) -> str:
    """Trimmed, NFC, inner white space folded. Raises InvalidName for NOT_IN_NAMES, lone surrogates or length."""
    text = " ".join(word for word in unicodedata.normalize("NFC", typed).split(" ") if word).strip()
    if re.search(rf"[{NOT_IN_NAMES}\ud800-\udfff]", text):
        raise InvalidName
    if len(text) > LONGEST_NAME:
        raise InvalidName(f"Use at most {LONGEST_NAME} characters.")
    return text
