"""An HTTP client for a real web server, with cookies and forms."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPMessage
from http.cookiejar import CookieJar
from json import dumps, loads
from typing import Any
from urllib.parse import urlencode

from tests.support.deployment import PATIENCE_SECONDS
from tests.support.pages import Page


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Message
    text: str

    @property
    def data(self) -> Any:
        """Return the `data` of a JSON response."""
        return loads(self.text)["data"]


class _FollowNothing(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


class Caller:
    def __init__(self, url: str) -> None:
        self._url = url
        self._jar = CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self._jar), _FollowNothing)

    def cookies(self) -> list[str]:
        """Return the values of all cookies."""
        return [cookie.value or "" for cookie in self._jar]

    def get(self, path: str) -> Answer:
        return self._send(path, None)

    def post(self, path: str, **fields: str) -> Answer:
        """Fill in the form at `path` and send it. Raises OSError if no server answers."""
        return self.fill_in(path, **fields)()

    def fill_in(self, path: str, **fields: str) -> Callable[[], Answer]:
        """Fill in the form at `path` and return a function that sends it."""
        token = self.token(path)
        return lambda: self.send(path, csrf_token=token, **fields)

    def token(self, path: str) -> str:
        """The CSRF token of the form at `path`."""
        return token_in(self.get(path))

    def send(self, path: str, **fields: str) -> Answer:
        return self._send(path, urlencode(fields).encode())

    def send_with(self, cookie: str, path: str, **fields: str) -> Answer:
        """Like `send`, with a cookie that the server did not set."""
        headers = {"Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded"}
        return self._send(path, urlencode(fields).encode(), headers=headers)

    def register(self, email: str) -> Answer:
        return self.post("/auth/register", email=email, name="Ada", password="a quieter harbour")

    def login(self, email: str, password: str = "a quieter harbour") -> Answer:
        return self.post("/auth/login", email=email, password=password)

    def ask(self, method: str, path: str, json: Any = None, **headers: str) -> Answer:
        """Send a request to the JSON API; underscores in header names stand for hyphens."""
        body = None if json is None else dumps(json).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._send(path, body, method=method, headers={"Content-Type": "application/json", **named})

    def _send(self, path: str, body: bytes | None, **how: Any) -> Answer:
        request = urllib.request.Request(f"{self._url}{path}", body, **how)
        try:
            with self._opener.open(request, timeout=PATIENCE_SECONDS) as answer:
                return _read(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as answer:
            with answer:
                return _read(answer.code, answer.headers, answer.read())


def token_in(answer: Answer) -> str:
    return Page(answer.text).find('main input[name="csrf_token"]').attrs["value"]


def _read(status: int, headers: HTTPMessage, body: bytes) -> Answer:
    return Answer(status, headers, body.decode())
