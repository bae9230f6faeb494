"""The first page of administration: what needs attention, today's numbers, and the state of the site."""

from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import NamedTuple

from flask import url_for
from flask.typing import ResponseReturnValue

from app.admin import bp
from app.core import errors
from app.core.disk_space import list_full_disks
from app.core.extensions import db, now, settings
from app.core.migration_state import schema_state
from app.current_site import site
from app.factor_resets.service import FactorResets
from app.invitations.service import Invitations
from app.jobs.models import JobState
from app.jobs.notifier import notifier
from app.jobs.services.queue import OVERDUE
from app.mail.models import MailStatus
from app.reports.service import SHOWN, Statistics
from app.reports.views import NAMES, daily_rows, label
from app.unit_of_work import Work, reading
from app.users.permissions import (
    JOBS_READ,
    MAIL_READ,
    REPORTS_READ,
    SITE_EDIT,
    USERS_INVITE,
    USERS_READ,
    USERS_RESET_FACTORS,
)
from app.web import current_user
from app.web.charts import chart
from app.web.navigation import admin_pages
from app.web.pages import page

REFUSED_WITHIN = timedelta(days=7)
RESETS_SHOWN = 5


class Notice(NamedTuple):
    """Something that needs attention; `kind` is error, warning or info."""

    kind: str
    text: str
    url: str


@bp.get("")
def overview() -> ResponseReturnValue:
    """Show what the user's permissions allow; refused to users who can open no page of administration."""
    who, services = current_user.signed_in(), reading()
    if not admin_pages():
        raise errors.NotAllowed
    sources = {
        SITE_EDIT: _about_site,
        JOBS_READ: _about_jobs,
        MAIL_READ: _about_mails,
        USERS_RESET_FACTORS: _about_factor_resets,
        USERS_INVITE: _about_invitations,
    }
    return page(
        "admin/overview.html",
        notices=[
            notice for permission, source in sources.items() if who.has(permission) for notice in source(services)
        ],
        days=SHOWN["day"],
        users=services.user_search.total() if who.has(USERS_READ) else None,
        today=_today() if who.has(REPORTS_READ) else None,
        system=_system(services) if who.has(SITE_EDIT) else None,
    )


def _about_site(_: Work) -> Iterator[Notice]:
    url = url_for("admin.site_settings")
    if site().maintenance:
        yield Notice("warning", "Maintenance mode is on. Only administrators can use the site.", url)
    if schema_state()[1] != "ok":
        yield Notice(
            "error", "The database and this release differ. Run `flask db upgrade`, or finish the upgrade.", ""
        )
    for folder, free in list_full_disks(settings()).items():
        yield Notice("error", f"Only {free // 2**20:,} MiB are left on the disk of {folder}.", "")
    if settings().is_live and not settings().mail_url.get_secret_value():
        yield Notice("error", "No mail server is set. Emails wait until MAIL_URL is.", "")


def _about_jobs(services: Work) -> Iterator[Notice]:
    url = url_for("admin.jobs")
    workers = notifier.find_workers()
    if notifier.connection is None:
        yield Notice("warning", "No queue is set, so jobs start with a delay. Set REDIS_URL.", url)
    elif workers is None:
        yield Notice("error", "Can't reach the queue (Redis or Valkey). Jobs wait until it is back.", url)
    elif not workers.list_alive(now(), busy=services.job_board.busy_workers()):
        yield Notice("warning", "No worker is running. Emails and other jobs wait.", url)
    elif workers.last_run_at is None:
        yield Notice("warning", "The schedule is not running. Scheduled jobs and retries wait.", url)
    if dead := services.job_board.count_dead():
        text = f"{_counted(dead, 'job')} failed after all attempts."
        yield Notice("error", text, url_for("admin.jobs", state=JobState.DEAD))
    if overdue := services.job_queue.count_overdue(by=OVERDUE):
        text = f"{_counted(overdue, 'job')} should have started more than {OVERDUE.seconds // 60} minutes ago."
        yield Notice("warning", text, url_for("admin.jobs", state=JobState.WAITING))


def _about_mails(services: Work) -> Iterator[Notice]:
    if refused := services.sent_mails.count(MailStatus.REFUSED, since=now() - REFUSED_WITHIN):
        text = f"{_counted(refused, 'email')} could not be delivered in the last {REFUSED_WITHIN.days} days."
        yield Notice("warning", text, url_for("admin.mail", status=MailStatus.REFUSED))
    if delayed := services.sent_mails.count(MailStatus.DELAYED):
        text = f"{_counted(delayed, 'email')} will be tried again."
        yield Notice("warning", text, url_for("admin.mail", status=MailStatus.DELAYED))


def _about_factor_resets(services: Work) -> Iterator[Notice]:
    for reset, user in services[FactorResets].list_open(limit=RESETS_SHOWN):
        text = f"The second factors of {user.name or user.email} will be reset soon."
        yield Notice("info", text, url_for("users.show", user_id=reset.user_id))


def _about_invitations(services: Work) -> Iterator[Notice]:
    if pending := services[Invitations].count_pending():
        yield Notice("info", f"{_counted(pending, 'invitation')} pending.", url_for("users.invitations"))


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _today() -> list[SimpleNamespace]:
    """Return today's numbers with a chart of the last days."""
    rows = daily_rows()
    labels = [label("day", row.begin, year=rows[-1].begin.year) for row in rows]
    return [
        SimpleNamespace(
            text=text,
            value=getattr(rows[-1], name) or 0,
            drawn=chart(text, labels, [getattr(row, name) for row in rows]),
        )
        for name, text in NAMES.items()
    ]


def _system(services: Work) -> SimpleNamespace:
    version = ".".join(map(str, db.engine.dialect.server_version_info or ()))
    names = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
    return SimpleNamespace(
        release=settings().release,
        database=f"{names[db.engine.dialect.name]} {version}",
        migrations=schema_state()[1],
        queue=notifier.state(),
        backup_at=services[Statistics].last_backup(),
    )
