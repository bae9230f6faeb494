import hashlib
import logging
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from app.auth import pwned_passwords
from app.auth.password_setup import breach_check
from app.auth.pwned_passwords import by_file, by_list, by_service, never
from app.settings import Settings
from tests.support.slow_server import slow_server


def digest(password):
    return hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest().upper()


STOLEN = ["password1234", "correct horse", "letmein", *(f"stolen {number}" for number in range(500))]


@pytest.fixture(params=["\n", "\r\n"], ids=["lf", "crlf"])
def stolen_file(tmp_path, request):
    file = tmp_path / "stolen.txt"
    lines = [f"{digest_line}:{number}" for number, digest_line in enumerate(sorted(map(digest, STOLEN)), start=1)]
    file.write_bytes(request.param.join([*lines, ""]).encode())
    return file


def test_every_hash_in_the_file_is_found(stolen_file):
    is_breached = by_file(stolen_file)

    assert all(is_breached(password) for password in STOLEN)


def test_other_hashes_are_not_found(stolen_file):
    is_breached = by_file(stolen_file)

    assert not any(is_breached(f"not stolen {number}") for number in range(500))


def test_file_of_one_line_and_an_empty_file_can_be_searched(tmp_path):
    one, empty = tmp_path / "one.txt", tmp_path / "empty.txt"
    one.write_text(digest("letmein"))
    empty.touch()

    assert by_file(one)("letmein")
    assert not by_file(one)("something else")
    assert not by_file(empty)("letmein")


def test_lowercase_hash_is_found(tmp_path):
    file = tmp_path / "lower.txt"
    file.write_text(digest("letmein").lower() + "\n")

    assert by_file(file)("letmein")


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery staple",
        "Correct-Horse_Battery.Staple!",
        "MayTheForceBeWithYou1977",
        "007 My Name Is Bond",
        "thisisapassword",
        "To be, or not to be?",
    ],
)
def test_common_long_passwords_are_in_the_list_in_any_spelling(password):
    assert by_list(password)
    for choice, is_refused in (("list", True), ("service", True), ("off", False)):
        assert (
            breach_check(Settings(environment="testing", breach_check=choice, breach_check_url="http://127.0.0.1:1/"))(
                password
            )
            == is_refused
        )
    assert breach_check(Settings(environment="testing"))(password)


@pytest.mark.parametrize("password", ["a quieter harbour", "correct horse", "20261130", "!!!", "ünïcödé sèntènce"])
def test_other_passwords_are_not_in_the_list(password):
    assert not by_list(password)


def test_own_list_is_sorted_lowercase_without_punctuation():
    lines = Path(pwned_passwords.__file__).with_name("common_passwords.list").read_text().splitlines()
    assert lines == sorted(set(lines))
    assert all(line.isalpha() and line.islower() and line.isascii() for line in lines)


class RangeService(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append((self.path, self.headers["Add-Padding"]))
        answer = "\r\n".join([*self.server.lines, f"{'0' * 35}:0"]).encode()
        self.send_response(self.server.status)
        self.send_header("Location", "http://127.0.0.1:9/elsewhere/")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        """Suppress the access log."""


@contextmanager
def range_service(lines=(), status=200):
    with HTTPServer(("127.0.0.1", 0), RangeService) as server:
        server.lines, server.status, server.asked = lines, status, []
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server, f"http://127.0.0.1:{server.server_port}/range/"
        finally:
            server.shutdown()
            thread.join()


def test_service_gets_five_digits_of_the_hash_and_never_the_password():
    with range_service([f"{digest('letmein')[5:]}:42"]) as (server, url):
        assert by_service(url, timeout=5)("letmein")

    assert server.asked == [(f"/range/{digest('letmein')[:5]}", "true")]


def test_suffix_with_a_count_of_zero_is_padding():
    with range_service([f"{digest('letmein')[5:]}:0"]) as (_, url):
        assert not by_service(url, timeout=5)("letmein")


def test_unlisted_password_is_accepted():
    with range_service([f"{digest('something else')[5:]}:7"]) as (_, url):
        assert not by_service(url, timeout=5)("letmein")


@pytest.mark.parametrize("status", [302, 429, 500])
def test_failing_service_accepts_the_password_and_is_logged(status, caplog):
    with range_service([f"{digest('letmein')[5:]}:42"], status) as (server, url), caplog.at_level(logging.WARNING):
        assert not by_service(url, timeout=5)("letmein")

    assert len(server.asked) == 1
    assert "the breach check could not be asked" in caplog.text
    assert "letmein" not in caplog.text


def test_unreachable_service_accepts_the_password_and_is_logged(caplog):
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        port = unheard.getsockname()[1]
        with caplog.at_level(logging.WARNING):
            assert not by_service(f"http://127.0.0.1:{port}/range/", timeout=1)("letmein")

    assert "the breach check could not be asked" in caplog.text


def test_hanging_service_accepts_the_password_after_the_timeout(caplog):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with caplog.at_level(logging.WARNING):
            assert not by_service(f"http://127.0.0.1:{silent.getsockname()[1]}/range/", timeout=0.05)("letmein")

    assert "the breach check could not be asked" in caplog.text


@pytest.mark.parametrize("slow", ["headers", "body"])
def test_slow_drip_service_accepts_the_password_after_the_timeout(slow, caplog):
    with slow_server(f"{digest('letmein')[5:]}:42\n", slow=slow) as url, caplog.at_level(logging.WARNING):
        assert not by_service(f"{url}/range/", timeout=0.3)("letmein")

    assert "the breach check could not be asked" in caplog.text


def test_disabled_service_is_not_asked():
    assert not never("password1234")
