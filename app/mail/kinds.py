"""What every kind of email has (template, subject, sample values), and what the tasks read when they run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import select

from app.audit.models import AuditEvent
from app.auth.models import Purpose, Undoable
from app.core import errors
from app.core.user_agents import device_name
from app.jobs.tasks import MailTask
from app.users.models import User

if TYPE_CHECKING:
    from app.unit_of_work import Work

SAMPLE_TIME = datetime(2026, 11, 12, 14, 5, tzinfo=UTC)
SAMPLE_TOKEN = "a-sample-of-a-link-which-leads-nowhere-00000"
SAMPLE_VISIT: dict[str, Any] = {"at": SAMPLE_TIME, "device": "Firefox on Linux", "address": "203.0.113.7"}


@dataclass(frozen=True, slots=True)
class Email:
    """An email before it is rendered: the values of its template, for `user` at their own address unless `to` is
    another.

    It greets by name only if the user has confirmed the address: before that the name may be a stranger's text.
    `knows_them` is False for an address that the user has yet to confirm.
    """

    kind: type[EmailKind]
    user: User | None
    values: Mapping[str, Any]
    to: str = ""
    knows_them: bool = True


class EmailKind:
    """A kind of email. `template` is its name in `templates/emails`, `sample` has values for the preview.

    `subject` is formatted with the site's name and the values. Values named `link` or `..._link` are paths of
    this site.
    """

    template: ClassVar[str] = ""
    subject: ClassVar[str] = ""
    sample: ClassVar[Mapping[str, Any]] = {}
    templates: ClassVar[dict[str, type[EmailKind]]] = {}

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if cls.template:
            EmailKind.templates[cls.template] = cls

    @staticmethod
    def list_kinds() -> list[type[EmailKind]]:
        """Return all kinds by the name of their template."""
        return [EmailKind.templates[template] for template in sorted(EmailKind.templates)]

    @classmethod
    def email(cls, user: User | None, *, to: str = "", knows_them: bool = True, **values: Any) -> Email:
        return Email(cls, user, values, to, knows_them)


class EmailTask(EmailKind, MailTask):
    """A task that sends an email; it reads the current state, because it may run long after it was enqueued."""

    def compose(self, job: EmailJob) -> Email:
        """Return the email. Raises NothingToDo if it is obsolete, InvalidLink if its link was used or has expired."""
        raise NotImplementedError


class WarningEmail(EmailTask):
    """An email that warns a user about their account."""

    is_warning: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class EmailJob:
    """The job that sends an email, and its unit of work. `providers` are labels by the name of a provider."""

    work: Work
    id: int
    providers: Mapping[str, str]

    def user(self, user_id: int | None) -> User:
        """Return the user, locked against deletion until the email's record is written. Raises NothingToDo."""
        query = select(User).where(User.id == user_id).with_for_update(read=True, key_share=True)
        user = self.work.session.scalar(query) if user_id is not None else None
        if user is None:
            raise errors.NothingToDo("the user no longer exists")
        return user

    def active(self, user_id: int | None) -> User:
        """Return the user, as `user` does. Raises NothingToDo if the account is deactivated."""
        user = self.user(user_id)
        if not user.is_active:
            raise errors.NothingToDo("the account is deactivated")
        return user

    def name(self, user_id: int | None) -> str | None:
        """Return the name or address of the user who caused the email, or None if there is none."""
        user = self.work.session.get(User, user_id) if user_id is not None else None
        return (user.name or user.email) if user is not None else None

    def event(self, event_id: int) -> AuditEvent:
        event = self.work.audit.find(event_id)
        if event is None:
            raise errors.NothingToDo("the event no longer exists")
        return event

    def link(self, purpose: Purpose, user: User, lifetime: timedelta, *, address: str = "", **of: Any) -> str:
        """Return the path of this job's link, to the user's own address unless `address` is another.

        Raises InvalidLink if it has ended.
        """
        _, token = self.work.links.issue(
            purpose, user_id=user.id, address=address or user.email, lifetime=lifetime, job_id=self.id, **of
        )
        return path_of(purpose, token)

    def undo(self, user: User, added: Undoable | None) -> dict[str, Any]:
        """Return the values of the link that undoes a new way to sign in. Raises InvalidLink if it was used."""
        hours = self.work.lifetimes.undo_link_hours
        link = self.link(Purpose.UNDO_ADDITION, user, timedelta(hours=hours), undoes=added) if added else None
        return {"undo_link": link, "undo_hours": hours}

    def check_quota(self, kind: type[EmailKind], recipient: str) -> None:
        """Check the quota of emails that others can cause. Raises NothingToDo; the last sent link stays valid."""
        if not self.work.mail_quota.is_below_quota(self.id, kind=kind.template, recipient=recipient):
            raise errors.NothingToDo("too many emails of this kind to this address within an hour")


def path_of(purpose: Purpose, token: str) -> str:
    """Return the path of the page that opens a link."""
    return f"/auth/{PAGES[purpose]}/{token}"


PAGES = {
    Purpose.VERIFY_EMAIL: "verify-email",
    Purpose.RESET_PASSWORD: "reset-password",
    Purpose.CHANGE_EMAIL: "confirm-email-change",
    Purpose.UNDO_EMAIL_CHANGE: "undo-email-change",
    Purpose.INVITATION: "invitation",
    Purpose.UNDO_ADDITION: "undo-addition",
    Purpose.KEEP_FACTORS: "keep-factors",
}


def details(event: AuditEvent) -> dict[str, Any]:
    """Return the details of an event; none once they are erased."""
    return event.detail.values if event.detail else {}


def visit(event: AuditEvent) -> dict[str, Any]:
    """Return time, device and client address of an event; device and address are None once they are erased."""
    detail = event.detail
    device = device_name(detail.user_agent) if detail and detail.user_agent else None
    return {"at": event.at, "device": device, "address": detail.address if detail else None}


def sample_link(purpose: Purpose) -> str:
    return path_of(purpose, SAMPLE_TOKEN)


SAMPLE_UNDO: dict[str, Any] = {"undo_link": sample_link(Purpose.UNDO_ADDITION), "undo_hours": 72}
