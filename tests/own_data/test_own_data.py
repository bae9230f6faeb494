"""Own data: a copy of everything, and closing the account."""

import csv
import gc
import io
import json
import zipfile
from datetime import timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from app.audit.models import AuditDetail, AuditEvent
from app.core.extensions import db
from app.core.principal import OPERATOR
from app.files.models import StoredFile
from app.imports.models import UserImportRow
from app.imports.services.user_imports import UserImports
from app.jobs.models import Job
from app.ops.tasks import PurgeExpired
from app.own_data import service as own_data
from app.unit_of_work import unit_of_work
from app.users.models import User
from app.users.tasks import EndExpiredSuspensions
from tests.support.browser import Browser
from tests.support.deleted import left_of
from tests.support.mailbox import work_off
from tests.support.people import People
from tests.support.program import Program

DATA = "/account/data"
CLOSE = "/account/close"


def copy_of(browser):
    answer = browser.get(f"{DATA}/download")
    assert answer.status_code == 200
    assert answer.headers["Content-Disposition"] == "attachment; filename=my-data.zip"
    return zipfile.ZipFile(io.BytesIO(answer.get_data()))


def enqueue(app, task):
    with app.app_context(), unit_of_work() as work:
        work.enqueue(task)
    work_off(app)


def user(app, person):
    with app.app_context():
        return db.session.get(User, person.id)


# ── a copy of everything ──


@pytest.mark.databases("sqlite", "postgresql")
def test_own_data_is_downloaded_as_json_and_csv(app, signed_in, ada, admin, mailbox):
    Program(app).login(ada).post("/api-keys", {"name": "Reporter"})
    signed_in.post("/account", {"name": "=1+1"})
    assert "We're preparing your data" in signed_in.page(signed_in.post(f"{DATA}/copy", {}, page=DATA).location).text(
        "main"
    )
    assert signed_in.get(f"{DATA}/download").status_code == 404

    mail = mailbox.last_to(ada.email)
    assert "is ready" in mail.subject
    assert mail.links[0] == f"http://gatehouse.test{DATA}"
    assert "is available until" in signed_in.page(DATA).text("main")
    archive = copy_of(signed_in)

    data = json.loads(archive.read("data.json"))
    tables = {"account", "sessions", "devices", "api_keys", "mails", "events", "grants", "imports"}
    assert set(data) >= left_of(tables, set(data))
    assert data["account"][0]["email"] == ada.email
    assert data["account"][0]["roles"] == ["member"]
    assert {event["kind"] for event in data["events"]} >= {"user.created", "session.started", "user.renamed"}
    rows = list(csv.DictReader(io.StringIO(archive.read("account.csv").decode("utf-8-sig"))))
    assert (rows[0]["email"], rows[0]["name"]) == (ada.email, "'=1+1")
    everything = b"".join(archive.read(name) for name in archive.namelist())
    for secret in (b"argon2", b"hash", b"salt", admin.email.encode()):
        assert secret not in everything.replace(b"only as hashes", b""), secret


def test_deferred_email_is_sent_later_with_the_same_copy(make_app, smtp_server, clock):
    app = make_app(mail_url=smtp_server.url)
    ada, browser = People(app).add("ada@example.com"), Browser(app)
    browser.sign_in(ada)
    smtp_server.answers += ["451 try again later"]
    browser.post(f"{DATA}/copy", {}, page=DATA)
    work_off(app)
    clock.advance(minutes=5)
    work_off(app)

    assert len(smtp_server.received) == 1
    assert copy_of(browser).namelist()


def test_administrators_addresses_are_not_in_the_copy(app, signed_in, ada, admin, new_browser):
    grace = new_browser(address="198.51.100.77")
    grace.sign_in(admin)
    page = f"/users/{ada.id}"
    grace.post(f"{page}/edit", {"name": "Ada King", "email": ada.email, "roles": "member", "version": "1"})
    signed_in.post(f"{DATA}/copy", {}, page=DATA)
    work_off(app)

    archive = copy_of(signed_in)
    renamed = [event for event in json.loads(archive.read("data.json"))["events"] if event["kind"] == "user.renamed"]
    assert [(event["actor_id"], event["address"]) for event in renamed] == [(admin.id, None)]
    assert b"198.51.100.77" not in archive.read("events.csv")


def test_copy_belongs_to_its_owner_replaces_the_earlier_one_and_expires(app, signed_in, ada, admin, new_browser, clock):
    for _ in range(2):
        signed_in.post(f"{DATA}/copy", {}, page=DATA)
    work_off(app)
    grace = new_browser()
    grace.sign_in(admin)
    assert grace.get(f"{DATA}/download").status_code == 404
    with app.app_context():
        assert db.session.scalar(select(func.count()).select_from(StoredFile)) == 1

    clock.advance(days=8)
    signed_in.sign_in(ada)
    assert signed_in.get(f"{DATA}/download").status_code == 404
    enqueue(app, PurgeExpired())
    with app.app_context():
        assert db.session.scalar(select(func.count()).select_from(StoredFile)) == 0


def test_copy_requires_confirmation_to_request_and_download(signed_in, clock):
    clock.advance(hours=1)
    for answer in (signed_in.get(f"{DATA}/download"), signed_in.post(f"{DATA}/copy", {}, page=DATA)):
        assert answer.status_code == 302
        assert answer.location.startswith("/auth/confirm")
    assert signed_in.get(DATA).status_code == 200


# ── closing the account ──


def delete(browser):
    return browser.post(CLOSE, {})


def test_deleted_account_is_restored_by_signing_in(app, signed_in, ada, new_browser, mailbox, clock):
    key = Program(app).login(ada).post("/api-keys", {"name": "Reporter"}).json["data"]["key"]
    other = new_browser()
    other.sign_in(ada)
    answer = delete(signed_in)

    assert answer.location == "/auth/login"
    assert "sign in within 14 days" in signed_in.page(answer.location).text("main")
    for browser in (signed_in, other):
        assert browser.get("/account").status_code == 302
    assert Program(app, token=key).get("/users/me").status_code == 401
    mail = mailbox.last_to(ada.email)
    assert "Your Gatehouse account was deleted" in mail.text
    assert new_browser().login(ada, "not that harbour").status_code == 422
    assert user(app, ada).deleted_at is not None

    clock.advance(days=13)
    assert new_browser().login(ada).status_code == 302

    assert user(app, ada).is_active
    assert not user(app, ada).deleted_by_owner
    enqueue(app, EndExpiredSuspensions())
    clock.advance(days=13)
    enqueue(app, EndExpiredSuspensions())
    assert user(app, ada)
    assert any("reactivated" in mail.subject for mail in mailbox.to(ada.email))


@pytest.mark.databases("sqlite", "postgresql")
def test_everything_is_erased_after_two_weeks_except_the_record_of_it(app, signed_in, ada, admin, mailbox, clock):
    delete(signed_in)
    clock.advance(days=14, minutes=1)
    enqueue(app, EndExpiredSuspensions())

    assert user(app, ada) is None
    with app.app_context():
        assert db.session.scalar(select(func.count()).where(AuditDetail.subject_id == ada.id)) == 1
        kinds = db.session.scalars(select(AuditEvent.kind).where(AuditEvent.subject_id == ada.id)).all()
        assert {"user.created", "user.deleted", "user.erased"} <= set(kinds)
        details = db.session.scalars(select(AuditDetail)).all()
        assert ada.email not in str([vars(detail) for detail in details])


def test_deletion_by_an_administrator_is_not_undone_by_signing_in(app, ada, new_browser):
    with app.app_context(), unit_of_work() as work:
        work.users.delete(work.users.get(ada.id, lock=True), by=OPERATOR)

    assert new_browser().login(ada).status_code == 422
    assert user(app, ada).deleted_at is not None


def test_last_administrator_cannot_close_the_account(client, admin, app):
    client.sign_in(admin)
    answer = delete(client)

    assert answer.status_code == 422
    assert "one active administrator" in answer.text
    assert user(app, admin).is_active


def test_import_rows_of_an_erased_user_contain_no_personal_data(app, signed_in, ada, clock):
    with app.app_context(), unit_of_work() as work:
        file = work.files.create_file(
            name="p.csv", owner_id=None, lives=timedelta(days=work.lifetimes.finished_job_days)
        )
        work.files.append(file.id, 0, f"email,name\n{ada.email},Ada King\n".encode())
        work.files.finish(file.id)
        work[UserImports].create_import(file.id, lines=2, by=OPERATOR)
    work_off(app)
    delete(signed_in)
    clock.advance(days=15)
    enqueue(app, EndExpiredSuspensions())

    with app.app_context():
        row = db.session.scalars(select(UserImportRow)).one()
        assert (row.email, row.name, row.reason) == ("", "", None)


@pytest.mark.parametrize("path", [DATA, CLOSE, f"{DATA}/download"])
def test_own_data_pages_are_for_the_owner_only(app, client, ada, admin, path):
    client.sign_in(admin)
    client.post(f"/users/{ada.id}/impersonate", {"reason": "to see what they see"})

    assert client.get(path).status_code == 403


@pytest.mark.databases("sqlite", "postgresql")
def test_copy_of_many_events_is_written_in_batches(app, client, ada, monkeypatch):
    """A worker holds only some rows, however long the history."""
    client.login(ada)
    with app.app_context(), unit_of_work() as work:
        work.audit.record_all("user.renamed", [(ada.id, {"before": "x" * 200, "after": str(n)}) for n in range(6000)])
    at_once = []
    plain = own_data._row

    def counted(*parts):
        at_once.append(
            sum(isinstance(thing, AuditEvent) for thing in gc.get_objects()) if len(at_once) % 1500 == 0 else 0
        )
        return plain(*parts)

    monkeypatch.setattr(own_data, "_row", counted)
    client.post("/account/data/copy", {}, page="/account/data")
    work_off(app)

    archive = copy_of(client)
    events = json.loads(archive.read("data.json"))["events"]
    assert len(events) > 6000
    assert len(archive.read("events.csv").decode().splitlines()) == len(events) + 1
    assert max(at_once) <= 3 * own_data.ROWS_AT_ONCE


def test_outdated_copy_job_does_nothing(app, client, ada, monkeypatch):
    client.login(ada)
    client.post("/account/data/copy", {}, page="/account/data")
    with app.app_context(), unit_of_work() as work:
        monkeypatch.setattr(work.files.__class__, "append", gone)
    work_off(app)
    with app.app_context():
        job = db.session.scalars(select(Job).where(Job.kind == "export_own_data")).one()
        assert (job.state, job.outcome) == ("done", "another copy was requested since")


def gone(*_):
    raise IntegrityError("INSERT", {}, Exception("the file is gone"))


def test_activity_hides_the_administrators_address(app, client, ada, admin):
    helper = Browser(app, address="198.51.100.77")
    helper.login(admin)
    helper.post(f"/users/{ada.id}/end-sessions")
    client.login(ada)
    own = client.get("/account/activity").text
    assert "Sessions ended" in own or "Signed in" in own
    assert "198.51.100.77" not in own
    assert "203.0.113.7" in own
