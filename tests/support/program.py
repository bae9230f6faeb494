"""A client of the JSON API: blocks cookies and checks every response."""

from __future__ import annotations

from typing import Any

from flask import Flask
from werkzeug.test import TestResponse

from tests.support.deleted import needs_for

API = "/api/v1"


class Program:
    def __init__(self, app: Flask, *, token: str | None = None, address: str = "203.0.113.7") -> None:
        self.app = app
        self.token = token
        self.refresh_token: str | None = None
        self.address = address
        self._http = app.test_client(use_cookies=False)

    def send(self, method: str, path: str, json: Any = None, **how: Any) -> TestResponse:
        """Send any request to the API, exactly as given; `path` is what follows /api/v1."""
        needs_for(f"{method} /api/v1{path}")
        headers = {"User-Agent": "gatehouse-tests/1", **how.pop("headers", {})}
        if self.token is not None:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        if json is not None:
            how["json"] = json
        settings = self.app.extensions["settings"]
        how.setdefault("base_url", settings.public_url)
        response = self._http.open(
            API + path,
            method=method,
            headers={name: value for name, value in headers.items() if value is not None},
            environ_overrides={"REMOTE_ADDR": self.address},
            **how,
        )
        look_at(response, f"{method} {path}")
        return response

    def get(self, path: str, **how: Any) -> TestResponse:
        return self.send("GET", path, **how)

    def post(self, path: str, json: Any = None, **how: Any) -> TestResponse:
        return self.send("POST", path, json, **how)

    def put(self, path: str, json: Any = None, **how: Any) -> TestResponse:
        return self.send("PUT", path, json, **how)

    def delete(self, path: str, **how: Any) -> TestResponse:
        return self.send("DELETE", path, **how)

    def login(self, who: Any) -> Program:
        """Sign in and keep both tokens."""
        answer = self.post("/auth/login", {"email": who.email, "password": who.password})
        assert answer.status_code == 200, answer.text
        self.take(answer)
        return self

    def take(self, answer: TestResponse) -> None:
        self.token, self.refresh_token = answer.json["data"]["access_token"], answer.json["data"]["refresh_token"]

    def refresh(self) -> TestResponse:
        return self.post("/auth/refresh", {"refresh_token": self.refresh_token})


def look_at(response: TestResponse, where: str) -> None:
    """Check what every response of the API must fulfil."""
    if not response.data or response.headers.get("Content-Encoding") or where.endswith("/openapi.json"):
        return
    assert response.mimetype == "application/json", f"{where}: {response.mimetype}"
    body = response.get_json()
    assert list(body) == ["success", "data", "message", "errors"], f"{where}: {body}"
    assert body["success"] is (response.status_code < 400), where
    if response.status_code < 400:
        assert body["errors"] is None, where
        return
    assert body["data"] is None, where
    assert body["message"], where
    assert all(list(error) == ["field", "code", "message"] for error in body["errors"]), f"{where}: {body}"
    assert body["errors"], where
    if response.status_code == 401:
        assert response.headers["WWW-Authenticate"].startswith("Bearer"), where
    if response.status_code == 405:
        assert response.headers["Allow"], where
    if response.status_code in {429, 503}:
        assert int(response.headers["Retry-After"]) > 0, where


def code(response: TestResponse) -> str:
    """Return the code of the first error."""
    return str(response.json["errors"][0]["code"])


def codes(response: TestResponse) -> set[tuple[str | None, str]]:
    return {(error["field"], error["code"]) for error in response.json["errors"]}
