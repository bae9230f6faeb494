import unicodedata

import pytest
from email_validator import EmailNotValidError, validate_email

from app.core.addresses import canonical_address
from app.core.errors import InvalidAddress


@pytest.mark.parametrize(
    "typed",
    [
        "ada@example.com",
        "ADA@example.com",
        "Ada@EXAMPLE.Com",
        "  ada@example.com  ",
        "\tada@example.com\n",
        # Chinese and Japanese keyboards can enter full-width letters.
        "\uff41\uff44\uff41\uff20\uff45\uff58\uff41\uff4d\uff50\uff4c\uff45\uff0e\uff43\uff4f\uff4d",
        "\u00a0ada@example.com",
    ],
)
def test_address_has_one_canonical_form(typed):
    assert canonical_address(typed) == "ada@example.com"


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("ada@bücher.example", "ada@xn--bcher-kva.example"),
        ("ada@BÜCHER.example", "ada@xn--bcher-kva.example"),
        ("ada@xn--bcher-kva.example", "ada@xn--bcher-kva.example"),
        ("ada@bu\u0308cher.example", "ada@xn--bcher-kva.example"),
        ("ada@faß.example", "ada@xn--fa-hia.example"),
        ("ada@XN--FA-HIA.example", "ada@xn--fa-hia.example"),
        ("ada@ΟΔΌΣ.example", "ada@xn--pxavn9a.example"),
        ("νίκος@example.com", "νίκος@example.com"),
        ("ΝΊΚΟΣ@example.com", "νίκος@example.com"),
        ("JOSÉ@example.com", "josé@example.com"),
        ("jose\u0301@example.com", "josé@example.com"),
        ("ada+news@example.com", "ada+news@example.com"),
        ("a.d.a@example.com", "a.d.a@example.com"),
        ("o'ada@example.com", "o'ada@example.com"),
        ("straße@example.com", "straße@example.com"),
        ("ﬁona@example.com", "fiona@example.com"),
        ("ada@a.b.c.d.example", "ada@a.b.c.d.example"),
    ],
)
def test_unicode_is_folded_and_domains_are_ascii(typed, kept):
    assert canonical_address(typed) == kept


def test_canonical_address_is_stable():
    for typed in ("ADA@bücher.example", "STRASSE@example.com", "İ@example.com", "ada@FAẞ.example"):
        once = canonical_address(typed)
        assert canonical_address(once) == once


def test_letters_of_another_alphabet_make_another_address():
    latin, cyrillic = "ada@example.com", "\u0430d\u0430@example.com"

    assert canonical_address(cyrillic) != canonical_address(latin)


@pytest.mark.parametrize(
    "typed",
    [
        "",
        " ",
        "@",
        "ada",
        "ada@",
        "@example.com",
        "ada@@example.com",
        "ada@example",
        "ada@example..com",
        "ada@.example.com",
        "ada@-example.com",
        ".ada@example.com",
        "ada.@example.com",
        "a..da@example.com",
        "ada@exa mple.com",
        "ad a@example.com",
        "ada@example.com, bob@example.com",
        "Ada <ada@example.com>",
        '"ada lovelace"@example.com',
        "ada@[127.0.0.1]",
        "ada@[IPv6:::1]",
        "ada@127.0.0.1",
        "ada@localhost",
        "ada@printer.local",
        "ada@example.123",
        "ada\x00@example.com",
        "ada@exam\x00ple.com",
        "ada\r\nBcc: eve@example.com@example.com",
        "ada@example.com\nBcc: eve@example.com",
        "ada\ud800@example.com",
        "ada@\udfff.example",
        "ada@example.com\u200b",
        "\u202eada@example.com",
        "ada@exam\u200bple.com",
        "a" * 65 + "@example.com",
        "ada@" + "a" * 64 + ".com",
        "ada@" + "a." * 130 + "com",
        "x" * 10_000_000,
        "@" * 100_000,
    ],
    ids=lambda typed: ascii(typed[:70]),
)
def test_invalid_address_is_refused(typed):
    with pytest.raises(InvalidAddress, match="Enter an email address, like"):
        canonical_address(typed)


def test_longest_deliverable_address_is_accepted():
    longest = f"{'a' * 64}@{'b' * 61}.{'b' * 61}.{'b' * 61}.bbb"
    assert len(longest) == 254

    assert canonical_address(longest) == longest


def test_address_too_long_in_ascii_is_refused():
    with pytest.raises(InvalidAddress):
        canonical_address("a" * 60 + "@" + ".".join(["ü" * 40] * 4) + ".example")


LONG_DOMAIN = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 60])  # One more character makes the address too long.


@pytest.mark.parametrize(
    "local",
    [
        "a",
        "a.b",
        "a..b",
        ".a",
        "a.",
        "a+b",
        "-a",
        "_",
        "a" * 64,
        "a" * 65,
        "a\n",
        "a b",
        "",
        "A",
        "\u0131",
        '"a b"',
        "o'a",
    ],
)
@pytest.mark.parametrize(
    "domain", ["example.com", "EXAMPLE.com", "example", "example.1", "a.invalid", "b\u00fccher.example", LONG_DOMAIN]
)
def test_plain_local_part_is_judged_like_the_validator(local, domain):
    def validated():
        text = unicodedata.normalize("NFKC", f"{local}@{domain}".strip())
        left, _, right = text.rpartition("@")
        try:
            result = validate_email(
                f"{left.lower()}@{right}", check_deliverability=False, globally_deliverable=False, strict=True
            )
        except EmailNotValidError:
            return None
        is_host = "." in result.ascii_domain and not result.ascii_domain.rpartition(".")[2].isdigit()
        return f"{result.local_part}@{result.ascii_domain}" if is_host else None

    try:
        address = canonical_address(f"{local}@{domain}")
    except InvalidAddress:
        address = None

    assert address == validated()
