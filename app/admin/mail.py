"""The log of mails."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from flask import url_for
from flask.typing import ResponseReturnValue

from app.admin import bp
from app.errors import InvalidAddress, MailUnderway
from app.models import MailStatus, SentMail
from app.services.addresses import canonical_address
from app.services.mail_log import MailFilter
from app.services.permissions import MAIL_EDIT, MAIL_READ
from app.unit_of_work import reading, unit_of_work
from app.web.access import requires
from app.web.jobs import named
from app.web.pages import page
from app.web.redirects import done
from app.web.rows import asked_for, before

ON_A_PAGE = 50
STATUSES = [status.value for status in MailStatus]


@bp.get("/mail")
@requires(MAIL_READ)
def mail() -> ResponseReturnValue:
    status, to = asked_for("status"), asked_for("to")
    wanted = MailFilter(status if status in STATUSES else None, _address(to) if to else None, before())
    found = reading().mail_log.list(wanted, limit=ON_A_PAGE + 1)
    rows = found[:ON_A_PAGE]
    kept: dict[str, Any] = {"status": wanted.status, "to": to or None}
    return page(
        "admin/mail.html",
        chosen=wanted.status or "",
        to=to,
        statuses={"": "Any status"} | {each: each.capitalize() for each in STATUSES},
        mails=[_shown(each) for each in rows],
        next_url=url_for("admin.mail", **kept, before=rows[-1].id) if len(found) > ON_A_PAGE else None,
        first_url=url_for("admin.mail", **kept) if wanted.before is not None else None,
    )


@bp.post("/mail/<id:mail_id>/resend")
@requires(MAIL_EDIT)
def resend_mail(mail_id: int) -> ResponseReturnValue:
    try:
        with unit_of_work() as work:
            work.mail_log.resend(mail_id)
    except MailUnderway as refusal:
        return done(str(refusal), to="admin.mail", kind="error")
    return done("The mail is sent again, if there is still a reason to.", to="admin.mail")


def _address(typed: str) -> str:
    """The canonical form; what is no address is nobody's."""
    try:
        return canonical_address(typed)
    except InvalidAddress:
        return typed


def _shown(mail: SentMail) -> SimpleNamespace:
    return SimpleNamespace(
        id=mail.id,
        job_id=mail.job_id,
        user_id=mail.user_id,
        recipient=mail.recipient,
        subject=mail.subject,
        kind=named(mail.kind),
        status=mail.status,
        answer=mail.answer,
        at=mail.created_at,
        sent_at=mail.sent_at,
        message_id=mail.message_id,
        can_resend=mail.status in {MailStatus.SENT, MailStatus.REFUSED},
    )
