"""An SMTP server that can close, delay its reply and refuse emails."""

from __future__ import annotations

import asyncio
import threading
from queue import Queue

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.support.deployment import PATIENCE_SECONDS
from tests.support.mailbox import Mail, read_mail
from tests.support.smtp_server import SmtpServer


class OnAnyPort(Controller):
    """The controller's start-up probe would connect to port 0, which was requested."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


class FaultySmtpServer(SmtpServer):
    """`arrivals` are the emails received, one for each attempt, before they are answered."""

    def __init__(self) -> None:
        super().__init__()
        self.arrivals: Queue[Mail] = Queue()
        self._held: set[str] = set()
        self._may_go = threading.Event()
        self._may_go.set()
        self._controller: Controller | None = None

    def reset(self) -> None:
        """Forget arrivals and requests; open again."""
        super().reset()
        self.release()
        while not self.arrivals.empty():
            self.arrivals.get()
        if self._controller is None:
            self.open()

    def open(self) -> None:
        """Listen, always at the same address."""
        self._controller = OnAnyPort(self, hostname="127.0.0.1", port=self.port, ready_timeout=PATIENCE_SECONDS)
        self._controller.start()
        self.port = self._controller.port

    def close(self) -> None:
        self.release()
        if self._controller is not None:
            self._controller.stop()
            self._controller = None

    def hold(self, *recipients: str) -> None:
        """Delay the reply to emails for these recipients until `release`."""
        self._held = set(recipients)
        self._may_go.clear()

    def release(self) -> None:
        self._may_go.set()

    def next_arrival(self) -> Mail:
        return self.arrivals.get(timeout=PATIENCE_SECONDS)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        self.arrivals.put(read_mail(envelope.content or b""))
        if self._held & set(envelope.rcpt_tos):
            await asyncio.to_thread(self._may_go.wait, PATIENCE_SECONDS)
        return await super().handle_DATA(server, session, envelope)
