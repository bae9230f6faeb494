"""The canonical form of email addresses and names, used by every entry point."""

from __future__ import annotations

import re
import unicodedata

from app.errors import InvalidAddress, InvalidName

LONGEST_ADDRESS = 254  # RFC 5321, section 4.5.3.1.3 less the angle brackets.
LONGEST_NAME = 100
# Letters and symbols without a visible glyph: the Hangul fillers and the blank Braille pattern.
BLANKS = frozenset("\u115f\u1160\u3164\uffa0\u2800")
# Control characters, separators of lines and paragraphs, what makes text read as something else (the bidirectional
# controls of Unicode TR 36), and what is no character. As it stands between the brackets of any regular expression.
NOT_IN_NAMES = r"\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufdd0-\ufdef\ufffe\uffff"


def canonical_address(typed: str) -> str:
    """The local part in NFKC and lower case, the domain in ASCII (IDNA 2008, non-transitional). Raises InvalidAddress.

    Lowering the local part is a choice: RFC 5321 lets a host distinguish `Ada@` from `ada@`, none does in practice,
    and two accounts that differ by a capital letter are an attack. Nothing is case-folded: that would turn `ß` into
    `ss` and the Greek final sigma into another, which in a domain is another owner's.
    """
    from email_validator import EmailNotValidError, validate_email  # noqa: PLC0415 - loaded with the first address.

    text = unicodedata.normalize("NFKC", typed.strip())
    if len(text) > LONGEST_ADDRESS:
        raise InvalidAddress
    local, _, domain = text.rpartition("@")
    try:
        # Lowers the domain's case by UTS 46, and refuses reserved domains.
        found = validate_email(
            f"{_lower(local)}@{domain}", check_deliverability=False, globally_deliverable=False, strict=True
        )
    except (EmailNotValidError, UnicodeError):
        raise InvalidAddress from None
    address = f"{found.local_part}@{found.ascii_domain.lower()}"
    if not _is_host_name(found.ascii_domain) or len(address) > LONGEST_ADDRESS:
        raise InvalidAddress
    return address


def reserved_domains() -> tuple[str, ...]:
    """Domains that receive no mail (RFC 6761); `.internal` is allowed."""
    from email_validator import SPECIAL_USE_DOMAIN_NAMES  # noqa: PLC0415

    return tuple(SPECIAL_USE_DOMAIN_NAMES)


def searched_address(typed: str) -> str:
    """The canonical form of a whole address, or the nearest form of a prefix of one."""
    try:
        return canonical_address(typed)
    except InvalidAddress:
        return _lower(unicodedata.normalize("NFKC", typed.strip()))


def _lower(text: str) -> str:
    """Lower case, and still NFKC: `İ` becomes two characters."""
    return unicodedata.normalize("NFKC", text.lower())


def _is_host_name(domain: str) -> bool:
    """Whether mail could go there: a name with a dot whose last label is no number."""
    return "." in domain and not domain.rpartition(".")[2].isdigit()


def clean_name(typed: str, *, longest: int = LONGEST_NAME) -> str:
    """Trimmed, NFC, inner white space folded. Raises InvalidName for NOT_IN_NAMES, lone surrogates or length."""
    text = " ".join(word for word in unicodedata.normalize("NFC", typed).split(" ") if word).strip()
    if re.search(rf"[{NOT_IN_NAMES}\ud800-\udfff]", text):
        raise InvalidName
    if text and not any(map(_is_visible, text)):
        raise InvalidName("Use at least one letter or sign that can be seen.")
    if len(text) > longest:
        raise InvalidName(f"Use at most {longest} characters.")
    return text


def _is_visible(character: str) -> bool:
    """Unassigned code points pass: they may be characters newer than this Python's tables."""
    return character not in BLANKS and unicodedata.category(character) not in {"Zs", "Cf", "Mn", "Me"}
