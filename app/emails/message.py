import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import render_template

from app.current_site import brand
from app.extensions import settings
from app.models import User
from app.theme import button_colors
from app.time_zones import times_for


@dataclass(frozen=True, slots=True)
class Message:
    """A rendered email; `kind` and `user_id` go into its record. MAIL_FROM wins over `sender_name`."""

    kind: str
    user_id: int | None
    to: str
    subject: str
    text: str
    html: str
    sender_name: str = ""


def compose(
    kind: str,
    user: User | None,
    *,
    subject: str,
    to: str = "",
    knows_them: bool = True,
    typed: Mapping[str, str | None] | None = None,
    **values: Any,
) -> Message:
    """Render both parts of the email `kind` to `user`, at their own address unless `to` is another.

    It greets by name only if the user has confirmed the address: before that the name may be a stranger's text.
    `knows_them` is False for an address that the user has yet to confirm. `typed` are values from a user or a browser,
    which can't become links.
    """
    name = harmless(user.name) if user is not None and user.is_verified() and knows_them else ""
    values |= {name: harmless(text) if text else text for name, text in (typed or {}).items()}
    context = {
        "site_name": brand().name,
        "support_email": brand().support_email,
        "contact": brand().support_email or f"the people who run {brand().name}",
        "base_url": settings().public_url,
        "button": button_colors(brand().accent_color),
        "name": name,
        **values,
    }
    with times_for(user.id if user is not None else None):
        text, html = render_template(f"emails/{kind}.txt", **context), render_template(f"emails/{kind}.html", **context)
    return Message(
        kind=kind,
        user_id=user.id if user is not None else None,
        to=to or (user.email if user is not None else ""),
        subject=" ".join(subject.split()),
        text=text,
        html=_inlined(html),
        sender_name=brand().name,
    )


def _inlined(html: str) -> str:
    """Inline the rules of `<style>` into the elements; nothing external is loaded."""
    from css_inline import CSSInliner  # noqa: PLC0415 - only workers render emails.

    return CSSInliner(keep_style_tags=False, load_remote_stylesheets=False).inline(html)


# Text that an email program may turn into a link: a scheme, an address, a dot within a word, many digits.
_BAIT = re.compile(r"[:/\\@]|\.\w|(\d\W{0,3}){5}")
_JOINTS = re.compile(r"[:/\\@.](?=\S)|\d(?=\W{0,3}\d)")
ZERO_WIDTH_SPACE = "\u200b"


def harmless(text: str) -> str:
    """Return user input so that no email program turns it into a link or telephone number.

    It reads the same: anything that looks like one gets zero-width spaces between its parts.
    """
    seen = unicodedata.normalize("NFKC", text).replace("\u3002", ".")
    seen = "".join(character for character in seen if unicodedata.category(character) != "Cf")
    return _JOINTS.sub(lambda joint: joint[0] + ZERO_WIDTH_SPACE, seen) if _BAIT.search(seen) else text
