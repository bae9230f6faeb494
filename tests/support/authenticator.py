"""An authenticator app, and people who set it up."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import pyotp


class App:
    """Shows codes of the seed that it was given, at the time of `clock`."""

    def __init__(self, seed: str, clock: Any) -> None:
        self._totp = pyotp.TOTP(seed)
        self._clock = clock

    def code(self, *, steps: int = 0) -> str:
        at: datetime = self._clock()
        return self._totp.at(at, counter_offset=steps)

    def wrong(self) -> str:
        """A code that is none of these minutes."""
        near = {self.code(steps=step) for step in range(-3, 4)}
        return next(each for each in (f"{number:06}" for number in range(100)) if each not in near)


def set_up(browser: Any, clock: Any) -> tuple[App, list[str]]:
    """Set up codes in a browser that is signed in and confirmed; returns the app and the recovery codes."""
    began = browser.post("/account/security/begin", page="/account/security")
    assert began.location == "/account/security/codes", began.location
    seed = browser.page("/account/security/codes").text("code.secret").replace(" ", "")
    app = App(seed, clock)
    answer = browser.post("/account/security/codes", {"code": app.code()})
    assert answer.status_code in {200, 302}, answer.text
    clock.advance(seconds=30)  # A code counts once, and the next one comes half a minute later.
    return app, re.findall(r'<code class="secret">([^<]+)</code>', answer.text)
