import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from functools import wraps
from typing import ParamSpec

from flask import abort, jsonify
from flask.typing import ResponseReturnValue

from app.core.extensions import settings
from app.dev import bp
from app.mail.preview import mail_frame
from app.web.access import public
from app.web.pages import page
from app.web.proxy_headers import is_from_this_machine

P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Received:
    id: str
    to: str
    sender: str
    subject: str
    at: datetime
    text: str
    html: str

    @property
    def links(self) -> list[str]:
        return list(dict.fromkeys(re.findall(r"https?://[^\s<>\"]+", self.text)))


def only_from_this_machine(view: Callable[P, ResponseReturnValue]) -> Callable[P, ResponseReturnValue]:
    """Respond with 404 to other machines: these emails give access to every account."""

    @wraps(view)
    def answer(*args: P.args, **kwargs: P.kwargs) -> ResponseReturnValue:
        return view(*args, **kwargs) if is_from_this_machine() else abort(404)

    return answer


@bp.get("/mailbox")
@public
@only_from_this_machine
def mailbox() -> ResponseReturnValue:
    return page("dev/mailbox.html", mails=received())


@bp.get("/mailbox.json")
@public
@only_from_this_machine
def mailbox_json() -> ResponseReturnValue:
    """Return all emails, newest first, for scripts."""
    return jsonify(
        [{"to": m.to, "subject": m.subject, "text": m.text, "html": m.html, "links": m.links} for m in received()]
    )


@bp.get("/mailbox/<mail_id>")
@public
@only_from_this_machine
def mail(mail_id: str) -> ResponseReturnValue:
    return page("dev/mail.html", mail=_get(mail_id))


@bp.get("/mailbox/<mail_id>/html")
@public
@only_from_this_machine
def mail_html(mail_id: str) -> ResponseReturnValue:
    """Return the HTML part of an email, for a frame that runs no script."""
    return mail_frame(_get(mail_id).html)


def received() -> list[Received]:
    """Return all emails, newest first."""
    folder = settings().instance_path / "mailbox" / "new"
    if not folder.is_dir():
        return []
    # A Date header has only whole seconds; the file name gives the order.
    files = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    return [_read(path.name, path.read_bytes()) for path in files]


def _get(mail_id: str) -> Received:
    mail = next((candidate for candidate in received() if candidate.id == mail_id), None)
    return mail or abort(404)


def _read(key: str, content: bytes) -> Received:
    mail = message_from_bytes(content, _class=EmailMessage, policy=default)
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    return Received(
        id=key,
        to=str(mail["To"]),
        sender=str(mail["From"]),
        subject=str(mail["Subject"]),
        at=mail["Date"].datetime,
        text=text.get_content() if text else "",
        html=html.get_content() if html else "",
    )
