"""The test mailbox: runs due jobs, and returns the emails they send."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from mailbox import Maildir
from typing import Any

from flask import Flask
from sqlalchemy import select

from app.core.errors import JobFailed
from app.core.extensions import db, now
from app.jobs.models import Job, JobState
from app.jobs.worker import perform


@dataclass(frozen=True, slots=True)
class Mail:
    to: str
    sender: str
    subject: str
    text: str
    html: str
    message_id: str

    @property
    def links(self) -> list[str]:
        return list(dict.fromkeys(re.findall(r"https?://[^\s<>\"]+", self.text)))

    @property
    def link(self) -> str:
        """Return the one link that has a token."""
        (url,) = [link for link in self.links if re.search(r"/[\w-]{43}$", link)]
        return url


def work_off(app: Flask) -> int:
    """Run due jobs in this process, in order, until there are none; return the number of attempts."""
    return sum(1 for _ in _each_due(app))


def _each_due(app: Flask) -> Iterator[int]:
    tried: set[tuple[int, int]] = set()
    while True:
        with app.app_context():
            due = select(Job.id, Job.attempts).where(Job.state == JobState.WAITING, Job.run_after <= now())
            row = db.session.execute(due.order_by(Job.id).limit(1)).first()
            db.session.close()
        if row is None:
            return
        assert tuple(row) not in tried, f"job {row.id} is due again and again"
        tried.add((row.id, row.attempts))
        with app.app_context():
            try:
                perform(row.id)
            except JobFailed:
                pass  # The job queue stores the error, for tests that need it.
        yield row.id


class Mailbox:
    """Emails of an application without a mail server; reading it runs the due jobs first."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._folder = app.extensions["settings"].instance_path / "mailbox"
        self._seen: set[str] = set()
        self._mails: list[Mail] = []

    def all(self) -> list[Mail]:
        """Return every email so far, oldest first."""
        for _ in _each_due(self._app):
            self._collect()
        self._collect()
        return self._mails

    def to(self, address: str) -> list[Mail]:
        return [mail for mail in self.all() if mail.to == address]

    def last_to(self, address: str) -> Mail:
        mails = self.to(address)
        assert mails, f"no mail to {address}; there are {[(m.to, m.subject) for m in self._mails]}"
        return mails[-1]

    def last(self) -> Mail:
        mails = self.all()
        assert mails, "no mail was sent"
        return mails[-1]

    def link_from(self, response: Any = None) -> str:
        """Return the one-time link in the newest email; `response` is what caused it and must be a success."""
        assert response is None or response.status_code in {200, 302, 303}, response.status_code
        before = len(self._mails)
        mails = self.all()
        assert len(mails) > before, "no mail was sent"
        return mails[-1].link

    def _collect(self) -> None:
        if not self._folder.is_dir():
            return
        box = Maildir(self._folder, factory=None, create=False)
        for key in sorted(set(box.keys()) - self._seen):
            self._seen.add(key)
            self._mails.append(read_mail(box.get_bytes(key)))


def read_mail(content: bytes) -> Mail:
    mail = message_from_bytes(content, _class=EmailMessage, policy=default)
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    return Mail(
        to=str(mail["To"]),
        sender=str(mail["From"]),
        subject=str(mail["Subject"]),
        text=text.get_content() if text else "",
        html=html.get_content() if html else "",
        message_id=str(mail["Message-ID"]),
    )
