"""A real SMTP server on its own port, whose replies the test chooses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from tests.support.mailbox import Mail, read_mail


class SmtpServer:
    """`answers` are the replies to the next emails; after them every email is accepted. `refuses` names recipients,
    `goodbye` is the reply to QUIT."""

    def __init__(self) -> None:
        self.answers: list[str] = []
        self.goodbye = ""
        self.refuses: dict[str, str] = {}
        self.received: list[Mail] = []
        self.envelopes: list[Envelope] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def reset(self) -> None:
        for collection in (self.answers, self.refuses, self.received, self.envelopes):
            collection.clear()
        self.goodbye = ""

    async def handle_QUIT(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.goodbye == "hang up":
            server.transport.abort()
        return self.goodbye or "221 Bye"

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


class _Controller(Controller):
    """The library's start-up probe uses the requested port; ours is chosen by the system."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@contextmanager
def running_smtp_server(*, password_of: dict[str, str] | None = None, **how: Any) -> Iterator[SmtpServer]:
    """`password_of` maps user names to passwords; `how` are arguments of aiosmtpd's controller and server."""

    def is_known(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        is_right = password_of is not None and password_of.get(data.login.decode()) == data.password.decode()
        return AuthResult(success=is_right, handled=False)

    handler = SmtpServer()
    how |= {"authenticator": is_known} if password_of is not None else {}
    controller = _Controller(handler, hostname="127.0.0.1", port=0, enable_SMTPUTF8=True, **how)
    controller.start()
    try:
        handler.port = controller.port
        yield handler
    finally:
        controller.stop()
