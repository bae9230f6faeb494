from datetime import timedelta

from app.admin.notices import NoticeSource
from app.core.feature import Feature
from app.core.retention import purge_where
from app.mail.models import SentMail
from app.mail.notices import find_mail_notices
from app.users.permissions import MAIL_READ
from app.web.navigation import AdminPage

feature = Feature(
    name="mail",
    commands={
        "mail": "app.mail.commands:mail",
    },
    admin_pages=(AdminPage(MAIL_READ, "admin.mail", "Emails", place=80),),
    audit_texts={
        "mail.resent": "Email sent again by an administrator: {mail}.",
    },
    purges=(
        purge_where(
            SentMail, lambda work: SentMail.created_at < work.clock() - timedelta(days=work.lifetimes.sent_mail_days)
        ),
    ),
    notices=(NoticeSource(MAIL_READ, find_mail_notices, place=30),),
)
