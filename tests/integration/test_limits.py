"""Rate limits for a user across pages and API, credentials and networks."""

import io
from datetime import timedelta

import pytest
from redis.exceptions import TimeoutError as RedisTimeout
from sqlalchemy import func, select

from app.core.extensions import db, limiter
from app.core.principal import OPERATOR
from app.files.models import StoredFile
from app.imports.services.user_imports import UserImports
from app.unit_of_work import unit_of_work
from tests.support.browser import Browser
from tests.support.program import Program, code

pytestmark = [
    pytest.mark.databases("sqlite"),
    pytest.mark.settings(limit_scale=1, limit_mail="3 per hour", limit_write="8 per minute"),
]


@pytest.fixture
def grace(app, admin):
    browser = Browser(app)
    browser.sign_in(admin)
    return browser


@pytest.fixture
def program(app, admin):
    return Program(app).login(admin)


def test_actions_that_send_email_share_one_limit_per_user(app, grace, program, ada, mailbox):
    assert grace.post("/users/new", {"email": "a@example.com"}).status_code == 302
    grace.address = "198.51.100.9"  # Another network makes no difference.
    assert program.post("/users", {"email": "b@example.com"}).status_code == 201
    assert program.post(f"/users/{ada.id}/password-reset").status_code == 202
    before = len(mailbox.all())
    resend = program.get("/invitations").json["data"]["items"][0]["id"]
    for refused in (
        program.post("/users", {"email": "c@example.com"}),
        program.post(f"/users/{ada.id}/password-reset"),
        program.post(f"/users/{ada.id}/verification"),
        program.post(f"/invitations/{resend}/resend"),
        program.put(f"/users/{ada.id}", {"name": "Ada", "email": "new@example.com"}),
    ):
        assert (refused.status_code, code(refused)) == (429, "too_many_requests"), refused.text
        assert refused.headers["Retry-After"]
    assert len(mailbox.all()) == before


def test_edit_without_a_new_address_does_not_count_as_email(grace, program, ada):
    for number in range(5):
        version = grace.page(f"/users/{ada.id}/edit").value("version")
        sent = {"name": f"Ada {number}", "email": ada.email, "version": version}
        assert grace.post(f"/users/{ada.id}/edit", sent).status_code == 302
    assert program.put(f"/users/{ada.id}", {"name": "Ada", "email": ada.email}).status_code == 200


def test_writes_are_counted_per_user_across_sessions(app, grace, program, admin):
    """Eight writes a minute, half by page and half by token; reading continues."""
    for number in range(4):
        assert grace.post("/account", {"name": f"Grace {number}"}).status_code == 302
        assert program.put(f"/users/{admin.id}", {"name": f"Hopper {number}"}).status_code == 200
    assert program.put(f"/users/{admin.id}", {"name": "One more"}).status_code == 429
    assert grace.post("/account", {"name": "One more"}).status_code == 429
    assert program.get("/users/me").json["data"]["name"] == "Hopper 3"
    assert grace.post("/auth/logout").status_code == 302


@pytest.mark.own_app
def test_requests_are_counted_in_memory_while_redis_is_down(grace, monkeypatch):
    def fail(*_, **__):
        limiter._storage_dead = True  # Another thread sets it while this one waits for a response.
        raise RedisTimeout("Timeout reading from socket")

    monkeypatch.setattr(limiter, "_storage_dead", False)
    monkeypatch.setattr(limiter.storage, "check", lambda: False)
    monkeypatch.setattr(limiter._limiter, "hit", fail)

    assert grace.post("/users/new", {"email": "a@example.com"}).status_code == 302


def test_other_users_are_not_limited(app, grace, ada):
    for number in range(9):
        grace.post("/account", {"name": f"Grace {number}"})
    other = Browser(app)
    other.sign_in(ada)
    assert other.post("/account", {"name": "Ada"}).status_code == 302


@pytest.mark.settings(limit_mail="100 per hour", import_rows_per_day=5)
def test_import_counts_once_with_a_quota_of_rows(app, grace, program):
    def upload(rows):
        content = "email\n" + "".join(f"p{number}@example.com\n" for number in range(rows))
        file = {"file": (io.BytesIO(content.encode()), "people.csv")}
        return grace.post("/users/import", file, content_type="multipart/form-data")

    assert upload(2).status_code == 302
    refused = upload(3)
    assert refused.status_code == 429
    assert "You can import 5 rows a day." in refused.text
    sent = program.send(
        "POST", "/users/imports", data=b"email\na@b.test\nc@b.test\nd@b.test\n", headers={"Content-Type": "text/csv"}
    )
    assert (sent.status_code, code(sent)) == (429, "too_many_rows")
    with app.app_context():
        assert db.session.scalar(select(func.count()).select_from(StoredFile)) == 1
    with app.app_context(), unit_of_work() as work:
        file = work.files.create_file(name="x.csv", owner_id=None, lives=timedelta(days=1), purpose="import")
        work.files.finish(file.id)
        assert work[UserImports].create_import(file.id, lines=9, by=OPERATOR).rows == 9


def test_commands_are_exempt(flask):
    for number in range(12):
        assert flask("invitations", "send", f"p{number}@example.com").exit_code == 0
