"""Rendering emails: an HTML part from a template, and a text part from that."""

import re
import unicodedata
from dataclasses import dataclass
from typing import Any

from flask import current_app, render_template
from jinja2 import TemplateNotFound

from app.core.extensions import settings
from app.mail.kinds import SAMPLE_TIME, Email, EmailKind
from app.mail.text import text_of
from app.site.current import brand
from app.users.models import User
from app.users.time_zones import times_for
from app.web.theme import button_colors

# Pages that emails link to.
PAGES = {
    "login_url": "/auth/login",
    "reset_url": "/auth/forgot-password",
    "activity_url": "/account/activity",
    "connections_url": "/account/connections",
    "keys_url": "/account/api-keys",
    "security_url": "/account/security",
    "sessions_url": "/account/sessions",
}
# Values that are no text of users and browsers: checked addresses, and what is ours.
OURS = {"address", "email", "label", "new_address", "prefix", "text"}


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


def render(email: Email) -> Message:
    """Render both parts. Text of a user or a browser can't become a link."""
    user, site, kind = email.user, brand(), email.kind.template
    name = harmless(user.name) if user is not None and user.is_verified() and email.knows_them else ""
    context = {
        "site_name": site.name,
        "support_email": site.support_email,
        "contact": site.support_email or f"the people who run {site.name}",
        "base_url": settings().public_url,
        "button": button_colors(site.accent_color),
        "name": name,
        **{page: address_of(path) for page, path in PAGES.items()},
        **{name: _shown(name, value) for name, value in email.values.items()},
    }
    with times_for(user.id if user is not None else None):
        html = render_template(f"emails/{kind}.html", **context)
        text = _own_text(kind, context) or text_of(html)
    return Message(
        kind=kind,
        user_id=user.id if user is not None else None,
        to=email.to or (user.email if user is not None else ""),
        subject=" ".join(email.kind.subject.format(site=site.name, **email.values).split()),
        text=text,
        html=_inlined(html),
        sender_name=site.name,
    )


def sample(kind: type[EmailKind]) -> Message:
    """Render a sample, for the preview and for checking overridden templates."""
    ada = User(id=0, email="ada@example.com", name="Ada Lovelace", email_verified_at=SAMPLE_TIME)
    return render(kind.email(ada, **kind.sample))


def address_of(path: str) -> str:
    """Return a link for an email: from BASE_URL, never from a request's Host header."""
    return f"{settings().public_url}{path}"


def _shown(name: str, value: Any) -> Any:
    if not isinstance(value, str) or name in OURS:
        return value
    return address_of(value) if name == "link" or name.endswith("_link") else harmless(value)


def _own_text(kind: str, context: dict[str, Any]) -> str | None:
    """Return the text part from a template of the site, in `instance/templates`, if there is one."""
    try:
        template = current_app.jinja_env.get_template(f"emails/{kind}.txt")
    except TemplateNotFound:
        return None
    return render_template(template, **context)


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
