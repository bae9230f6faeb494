"""Emails that need attention."""

from collections.abc import Iterator
from datetime import timedelta

from flask import url_for

from app.admin.notices import Notice, counted
from app.core.extensions import now
from app.mail.models import MailStatus
from app.unit_of_work import Work

REFUSED_WITHIN = timedelta(days=7)


def find_mail_notices(services: Work) -> Iterator[Notice]:
    if refused := services.sent_mails.count(MailStatus.REFUSED, since=now() - REFUSED_WITHIN):
        text = f"{counted(refused, 'email')} could not be delivered in the last {REFUSED_WITHIN.days} days."
        yield Notice("warning", text, url_for("admin.mail", status=MailStatus.REFUSED))
    if delayed := services.sent_mails.count(MailStatus.DELAYED):
        text = f"{counted(delayed, 'email')} will be tried again."
        yield Notice("warning", text, url_for("admin.mail", status=MailStatus.DELAYED))
