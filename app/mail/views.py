"""Pages for sent emails and email templates."""

from types import SimpleNamespace

from flask import request
from flask.typing import ResponseReturnValue

from app.admin import bp
from app.core import errors
from app.core.addresses import canonical_address
from app.mail.kinds import EmailKind
from app.mail.models import MailStatus
from app.mail.preview import mail_frame
from app.mail.rendering import Message, sample
from app.mail.services.sent_mails import MailFilter
from app.mail.tasks import SendSample
from app.unit_of_work import reading, unit_of_work
from app.users.permissions import MAIL_EDIT, MAIL_READ
from app.web import current_user
from app.web.access import requires
from app.web.actions import attempt
from app.web.limits import limited
from app.web.pages import page
from app.web.query_params import before, paginate, query_text
from app.web.redirects import done

ON_A_PAGE = 50
STATUSES = [status.value for status in MailStatus]


@bp.get("/mail")
@requires(MAIL_READ)
def mail() -> ResponseReturnValue:
    status, to = query_text("status"), query_text("to")
    filters = MailFilter(status if status in STATUSES else None, _address(to) if to else None, before())
    mails = reading().sent_mails.list(filters, limit=ON_A_PAGE + 1)
    paged = paginate(mails, size=ON_A_PAGE, status=filters.status, to=to or None)
    return page(
        "admin/mail.html",
        chosen=filters.status or "",
        to=to,
        statuses={"": "Any status"} | {value: value.capitalize() for value in STATUSES},
        paged=paged,
    )


@bp.post("/mail/<id:mail_id>/resend")
@requires(MAIL_EDIT)
def resend_mail(mail_id: int) -> ResponseReturnValue:
    message = "Email enqueued again. It is sent if it still applies."
    return attempt(lambda work: work.sent_mails.resend(mail_id), message=message, to="admin.mail")


@bp.get("/mail/templates")
@requires(MAIL_READ)
def mail_templates() -> ResponseReturnValue:
    return page(
        "admin/mail_templates.html",
        templates=[
            SimpleNamespace(kind=kind.template, name=_title(kind.template), subject=sample(kind).subject)
            for kind in EmailKind.list_kinds()
        ],
    )


@bp.get("/mail/templates/<template>")
@requires(MAIL_READ)
def mail_template(template: str) -> ResponseReturnValue:
    return page("admin/mail_template.html", chosen=template, mail=_sample(template), name=_title(template))


@bp.get("/mail/templates/<template>/html")
@requires(MAIL_READ)
def mail_template_html(template: str) -> ResponseReturnValue:
    """Return the HTML part for a frame that runs no script, in light or dark colors."""
    scheme = "dark" if request.args.get("scheme") == "dark" else "light"
    return mail_frame(_sample(template).html.replace('content="light dark"', f'content="{scheme}"'))


@bp.post("/mail/templates/<template>/send")
@requires(MAIL_EDIT)
@limited("mail")
def send_sample(template: str) -> ResponseReturnValue:
    who = current_user.signed_in()
    _sample(template)
    with unit_of_work() as work:
        work.enqueue(SendSample(user_id=who.user_id, sample_id=sorted(EmailKind.templates).index(template)))
    return done(f"Sample sent to {who.email}.", to="admin.mail_template", template=template)


def _title(template: str) -> str:
    return template.replace("_", " ").capitalize().replace("Api", "API")


def _sample(kind: str) -> Message:
    if kind not in EmailKind.templates:
        raise errors.MailNotFound("Email template not found.")
    return sample(EmailKind.templates[kind])


def _address(typed: str) -> str:
    """Return the normalized address, or the input, which matches no email, if it is invalid."""
    try:
        return canonical_address(typed)
    except errors.InvalidAddress:
        return typed
