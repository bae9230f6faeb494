"""An SMTP server as a process of its own, to be killed: `python -m tests.faults.smtp_process PORT FILE`.

Each mail that it takes is a line in FILE, its message id and recipient, written before the server says yes.
"""

from __future__ import annotations

import os
import signal
import sys

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.support.mailbox import read_mail


class Taker:
    def __init__(self, file: str) -> None:
        self._file = os.open(file, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        mail = read_mail(envelope.content or b"")
        os.write(self._file, f"{mail.message_id} {mail.to}\n".encode())
        return "250 Message accepted"


if __name__ == "__main__":
    Controller(Taker(sys.argv[2]), hostname="127.0.0.1", port=int(sys.argv[1]), enable_SMTPUTF8=True).start()
    signal.pause()
