"""A real SMTP server on a port of its own that does what a test tells it to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.support.mailbox import Mail, read_mail


class MailServer:
    """`answers` are given to the next mails, one each; after them every mail is taken. `refuses` names recipients."""

    def __init__(self) -> None:
        self.answers: list[str] = []
        self.refuses: dict[str, str] = {}
        self.received: list[Mail] = []
        self.envelopes: list[Envelope] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def reset(self) -> None:
        for each in (self.answers, self.refuses, self.received, self.envelopes):
            each.clear()

    async def handle_RCPT(  # noqa: N802 - the library's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[Any]
    ) -> str:
        if address in self.refuses:
            return self.refuses[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.answers:
            answer = self.answers.pop(0)
            if not answer.startswith("2"):
                return answer
        self.envelopes.append(envelope)
        self.received.append(read_mail(envelope.content or b""))
        return "250 Message accepted"


@contextmanager
def running_mail_server(**how: Any) -> Iterator[MailServer]:
    handler = MailServer()
    controller = Controller(handler, hostname="127.0.0.1", port=0, enable_SMTPUTF8=True, **how)
    controller.start()
    try:
        handler.port = controller.server.sockets[0].getsockname()[1]
        yield handler
    finally:
        controller.stop()
