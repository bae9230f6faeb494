"""Importing and exporting users: preview, result and refusals."""

import csv
import io
import json
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from app.audit.models import AuditEvent
from app.core.extensions import db
from app.core.principal import OPERATOR
from app.files.models import FileChunk, StoredFile
from app.imports.models import UserImport, UserImportRow
from app.imports.services.worker import ImportWorker
from app.invitations.models import Invitation
from app.jobs.models import Job
from app.ops.tasks import PurgeExpired
from app.unit_of_work import unit_of_work
from app.users.models import User
from app.users.services.roles import RoleSpec
from tests.support.mailbox import work_off
from tests.support.program import Program
from tests.support.statements import statements

IMPORT = "/users/import"
MANAGES = {"users:read", "users:import", "users:export", "users:invite", "users:edit", "roles:assign"}


@pytest.fixture
def grace(client, admin):
    """An administrator's browser."""
    client.sign_in(admin)
    return client


@pytest.fixture
def make_role(app):
    def make(name, *permissions):
        with app.app_context(), unit_of_work() as work:
            work.roles.create(RoleSpec(name=name, permissions=frozenset(permissions)), by=OPERATOR)

    return make


@pytest.fixture
def clerk(client, people, make_role):
    """The browser of a user who may import, but is no administrator."""
    make_role("clerk", *MANAGES)
    make_role("guest")
    client.sign_in(people.add("clerk@example.com", roles=("clerk",)))
    return client


@pytest.fixture
def upload(app):
    """Upload a file and let it be checked; return the page of the import."""

    def upload(browser, content, name="people.csv"):
        content = content.encode() if isinstance(content, str) else content
        answer = browser.post(IMPORT, {"file": (io.BytesIO(content), name)}, content_type="multipart/form-data")
        assert answer.status_code == 302, answer.text
        work_off(app)
        return answer.location

    return upload


def start(app, browser, page, **data):
    answer = browser.post(f"{page}/start", data, page=page)
    work_off(app)
    return browser.page(answer.location).text("main")


def report(browser, page):
    """Return outcome and reason of each row, by number."""
    rows = csv.DictReader(io.StringIO(browser.get(f"{page}/report.csv").get_data().decode("utf-8-sig")))
    return {int(row["row"]): (row["outcome"], row["reason"]) for row in rows}


def users(app):
    with app.app_context():
        rows = db.session.scalars(select(User).order_by(User.email)).all()
        return {user.email: (user.name, sorted(role.name for role in user.roles)) for user in rows}


def count(app, model):
    with app.app_context():
        return db.session.scalar(select(func.count()).select_from(model))


FILE = """\
email,name,roles,shoe size
NEW@example.com,New Person,,44
ada@example.com,Ada King,"member, guest",
same@example.com,Same,member,
nonsense,Nobody,,
new@example.com,Again,,
bad@example.com,Bad\u0007Name,,
boss@example.com,Boss,wizard,
"""


@pytest.mark.databases("sqlite", "postgresql")
def test_file_is_checked_previewed_and_applied(app, grace, people, make_role, upload):
    make_role("guest")
    people.add("ada@example.com", name="Ada Lovelace")
    people.add("same@example.com", name="Same")
    page = upload(grace, FILE)

    text = grace.page(page).text("main")
    for part in ("7 rows checked", "Add 1", "Change 1", "Leave unchanged 1", "Refuse 4", "shoe size"):
        assert part in text, part
    assert "name: Ada Lovelace → Ada King; roles: member → guest, member" in text
    assert report(grace, page) == {
        2: ("new", ""),
        3: ("changed", "name: Ada Lovelace → Ada King; roles: member → guest, member"),
        4: ("unchanged", ""),
        5: ("refused", "Missing or invalid email address."),
        6: ("refused", "Duplicate of row 2."),
        7: ("refused", "Invalid name: Remove line breaks and special characters."),
        8: ("refused", "Unknown role: wizard."),
    }
    assert "new@example.com" not in users(app)

    text = start(app, grace, page)

    assert "Import finished" in text
    for part in ("Added 1", "Changed 1", "Unchanged 1", "Refused 4"):
        assert part in text, part
    assert users(app)["new@example.com"] == ("New Person", ["member"])
    assert users(app)["ada@example.com"] == ("Ada King", ["guest", "member"])
    assert [outcome for outcome, _ in report(grace, page).values()] == ["added", "updated", "unchanged"] + [
        "refused"
    ] * 4
    assert count(app, FileChunk) == count(app, StoredFile) == 0
    events = grace.page("/admin/audit").text("main")
    assert "Account created by import" in events
    assert "Name changed from “Ada Lovelace” to “Ada King”" in events


@pytest.mark.databases("sqlite", "postgresql")
def test_imported_users_set_a_password_through_a_link(app, grace, new_browser, mailbox, upload):
    page = upload(grace, "email,name\nnew@example.com,New Person\n")
    start(app, grace, page)
    visitor = new_browser()
    visitor.forgot_password("new@example.com")

    assert visitor.reset_password(mailbox.last_to("new@example.com").link, "seven lamps at dusk").status_code == 302
    assert "New Person" in grace.page("/users?q=pers").text("main")


def test_imported_users_are_invited_on_request(app, grace, new_browser, mailbox, make_role, upload):
    make_role("guest")
    page = upload(grace, "email,name,roles\nnew@example.com,New Person,guest\n")
    start(app, grace, page, invites="y")
    assert count(app, Invitation) == 1
    assert users(app)["new@example.com"] == ("New Person", [])

    new_browser().open_and_send(
        mailbox.last_to("new@example.com").link, {"name": "New Person", "password": "seven lamps at dusk"}
    )

    assert users(app)["new@example.com"] == ("New Person", ["guest"])


@pytest.mark.settings(registration="closed")
def test_import_sends_no_invitations_where_they_are_closed(app, grace, upload):
    page = upload(grace, "email\nnew@example.com\n")

    assert not grace.page(page).has("[name=invites]")
    assert "Invitations are closed" in start(app, grace, page, invites="y")
    assert "Added 1" in start(app, grace, page)


def test_import_cannot_exceed_the_importers_permissions(app, clerk, people, upload):
    people.add("root@example.com", name="Root", roles=("administrator",))
    page = upload(
        clerk,
        "email,name,roles\nroot@example.com,Rooted,\nnew@example.com,New,administrator\n"
        "clerk@example.com,,clerk administrator\nguest@example.com,Guest,guest\n",
    )

    outcomes = report(clerk, page)
    assert [outcomes[number][0] for number in (2, 3, 4, 5)] == ["refused", "refused", "refused", "new"]
    assert "You also need" in outcomes[2][1]
    start(app, clerk, page)
    assert users(app)["root@example.com"] == ("Root", ["administrator"])
    assert users(app)["clerk@example.com"][1] == ["clerk"]
    assert users(app)["guest@example.com"] == ("Guest", ["guest"])


def test_permissions_lost_since_the_check_are_not_used(app, clerk, people, upload):
    page = upload(clerk, "email,roles\nnew@example.com,guest\nother@example.com,\n")
    clerk.post(f"{page}/start", {}, page=page)
    with app.app_context(), unit_of_work() as work:
        role = work.roles.get("clerk", lock=True)
        work.roles.change(role, RoleSpec(name="clerk", permissions=MANAGES - {"roles:assign"}), by=OPERATOR)
    work_off(app)

    assert report(clerk, page) == {2: ("refused", "You don't have permission to do this."), 3: ("added", "")}
    assert "new@example.com" not in users(app)


def test_import_stops_when_the_importer_loses_the_permission(app, clerk, upload):
    page = upload(clerk, "email\nnew@example.com\n")
    clerk.post(f"{page}/start", {}, page=page)
    with app.app_context(), unit_of_work() as work:
        role = work.roles.get("clerk", lock=True)
        work.roles.change(role, RoleSpec(name="clerk", permissions=MANAGES - {"users:import"}), by=OPERATOR)
    work_off(app)

    assert "new@example.com" not in users(app)
    with app.app_context():
        assert "can no longer import users" in db.session.scalar(select(UserImport.problem))


@pytest.mark.databases("sqlite", "postgresql")
def test_accounts_changed_since_the_check_are_not_overwritten(app, grace, people, upload):
    gone = people.add("gone@example.com", name="Gone")
    page = upload(grace, "email,name\nnew@example.com,New\ngone@example.com,Changed\n")
    people.add("new@example.com", name="Quicker")
    with app.app_context(), unit_of_work() as work:
        work.users.erase(work.users.get(gone.id, lock=True), by=OPERATOR)
    start(app, grace, page)

    assert report(grace, page) == {
        2: ("refused", "The account was created or deleted since the check."),
        3: ("refused", "The account was created or deleted since the check."),
    }
    assert users(app)["new@example.com"][0] == "Quicker"


def test_unconfirmed_and_deleted_accounts_are_skipped(app, grace, people, client, new_browser, upload):
    new_browser().register("stranger@example.com", name="Stranger")
    work_off(app)
    away = people.add("away@example.com", name="Away")
    with app.app_context(), unit_of_work() as work:
        work.users.delete(work.users.get(away.id, lock=True), by=OPERATOR)
    page = upload(grace, "email,roles\nstranger@example.com,administrator\naway@example.com,administrator\n")

    assert report(grace, page) == {
        2: ("refused", "The user hasn't confirmed this email address."),
        3: ("refused", "The account is deleted. Restore it first."),
    }


def test_import_keeps_the_last_administrator(app, grace, admin, upload):
    page = upload(grace, f"email,roles\n{admin.email},member\n")
    start(app, grace, page)

    assert users(app)[admin.email][1] == ["administrator"]
    assert "one active administrator" in report(grace, page)[2][1]


@pytest.mark.databases("sqlite", "postgresql")
def test_importing_an_export_changes_nothing(app, grace, people, clock, new_browser, upload):
    for number, name in enumerate(("=1+1", "'=x", 'O\'Hara, "Bob"', "+49", "Zoë", "")):
        people.add(f"u{number}@example.com", name=name, roles=("member", "manager"))
    new_browser().register("unconfirmed@example.com", name="Not yet")
    exported = grace.get("/users/export.csv").get_data()
    assert exported.startswith(b"\xef\xbb\xbfemail,name,roles,status,created_at,last_seen_at\r\n")
    assert b",'=1+1," in exported
    before = users(app)

    page = upload(grace, exported)

    assert "Leave unchanged 8" in grace.page(page).text("main")
    assert "There are no changes to make" in grace.page(page).text("main")
    assert users(app) == before


def test_export_follows_the_filters(grace, people):
    people.add("ada@example.com", name="Ada")
    text = grace.get("/users/export.csv?role=member").get_data().decode("utf-8-sig")

    assert [row["email"] for row in csv.DictReader(io.StringIO(text))] == ["ada@example.com"]
    assert "List of users exported" in grace.page("/admin/audit").text("main")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"PK\x03\x04 and more", "an Excel or ZIP file"),
        (b"name\nAda\n", "must contain a column"),
        (b"email,e-mail\na@example.com,b@example.com\n", "have the same meaning"),
    ],
)
def test_invalid_file_is_refused_with_advice(app, grace, upload, content, why):
    page = upload(grace, content)

    text = grace.page(page).text("main")
    assert why in text
    assert "Nothing was changed" in text
    assert grace.post(f"{page}/start", {}, page=page).status_code == 302
    assert count(app, UserImportRow) == 0


def test_form_without_a_file_asks_for_one(grace):
    answer = grace.post(IMPORT, {}, content_type="multipart/form-data")
    assert answer.status_code == 422
    assert "Choose a file" in answer.text


def test_oversized_file_is_refused_and_others_may_not_upload(grace, new_browser, people, monkeypatch):
    large = {"file": (io.BytesIO(b"email\n" + b"a@example.com\n" * 25_000), "large.csv")}
    other = new_browser()
    other.sign_in(people.add("ada@example.com"))
    answer = other.post(IMPORT, large, page="/account", content_type="multipart/form-data")
    assert answer.status_code == 403

    monkeypatch.setattr(grace.app.view_functions["users.import"], "most_bytes", 100_000)
    large = {"file": (io.BytesIO(b"email\n" + b"a@example.com\n" * 25_000), "large.csv")}
    assert grace.post(IMPORT, large, content_type="multipart/form-data").status_code == 413


def test_import_is_visible_to_its_importer_only(app, grace, new_browser, people, upload):
    page = upload(grace, "email\nnew@example.com\n")
    other = new_browser()
    other.sign_in(people.add("other@example.com", roles=("administrator",)))

    assert other.get(page).status_code == 404
    assert other.get(f"{page}/report.csv").status_code == 404
    for act in ("start", "cancel", "resume"):
        assert other.post(f"{page}/{act}", {}, page=IMPORT).status_code == 404
    assert not other.page(IMPORT).has("main tbody")
    assert "people.csv" in grace.page(IMPORT).text("main")


@pytest.mark.databases("sqlite", "postgresql")
def test_started_import_can_be_cancelled_and_resumed(app, grace, upload, monkeypatch):
    monkeypatch.setattr("app.imports.handlers.BATCH", 2)
    page = upload(grace, "email\n" + "".join(f"u{number}@example.com\n" for number in range(7)))
    grace.post(f"{page}/start", {}, page=page)
    assert grace.page(page).has("progress")
    assert "Stopping the import" in grace.page(grace.post(f"{page}/cancel", {}, page=page).location).text("main")
    work_off(app)
    assert "The import stopped" in grace.page(page).text("main")
    assert "u0@example.com" not in users(app)

    grace.post(f"{page}/resume", {}, page=page)
    work_off(app)

    assert "Added 7" in grace.page(page).text("main")
    assert grace.post(f"{page}/start", {}, page=page).status_code == 302
    assert "can be started" in start(app, grace, page)


@pytest.mark.databases("sqlite", "postgresql")
def test_repeatedly_killed_worker_applies_every_row_once(app, grace, upload, monkeypatch, clock):
    monkeypatch.setattr("app.imports.handlers.BATCH", 3)
    page = upload(grace, "email\n" + "".join(f"u{number}@example.com\n" for number in range(20)))
    grace.post(f"{page}/start", {}, page=page)

    class Killed(BaseException):
        pass

    apply = ImportWorker.apply

    def dies(self, import_id, **how):
        answer = apply(self, import_id, **how)
        dies.tries += 1
        if dies.tries % 2:
            raise Killed  # Before the step commits, so that nothing of it is kept.
        return answer

    dies.tries = 0
    monkeypatch.setattr(ImportWorker, "apply", dies)
    for _ in range(12):
        try:
            work_off(app)
        except Killed:
            clock.advance(minutes=5)
        with app.app_context(), unit_of_work() as work:
            work.job_queue.rescue()
            job = work.session.scalars(select(Job).where(Job.kind == "apply_user_import")).one()
            if job.state == "running":
                job.lease_until = clock.now
                job.state = "waiting"

    assert "Added 20" in grace.page(page).text("main")
    with app.app_context():
        imported = select(func.count()).select_from(AuditEvent).where(AuditEvent.kind == "user.imported")
        assert db.session.scalar(imported) == 20
    assert {outcome for outcome, _ in report(grace, page).values()} == {"added"}


@pytest.mark.databases("sqlite")
def test_duplicate_search_reads_only_the_affected_rows(app, grace, upload):
    """The statement that the check runs for each batch must not read the earlier rows."""
    with app.app_context(), statements() as queries:
        upload(grace, "email\n" + "".join(f"u{number}@example.com\n" for number in range(3)))
    (lookup,) = [query for query in queries if "user_import_rows.email IN" in query[0]]
    with app.app_context():
        explained = db.session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {lookup[0]}", lookup[1])
        plan = [row[-1] for row in explained]
    assert all("ix_user_import_rows_email (email=? AND import_id=?)" in step for step in plan), plan


@pytest.mark.databases("sqlite", "postgresql")
def test_old_imports_and_partial_files_are_deleted(app, grace, upload, clock):
    upload(grace, "email\nnew@example.com\n")
    with app.app_context(), unit_of_work() as work:
        file = work.files.create_file(
            name="cut off", owner_id=None, lives=timedelta(days=work.lifetimes.finished_job_days)
        )
        work.files.append(file.id, 0, b"email\n")
    clock.advance(days=40)
    with app.app_context(), unit_of_work() as work:
        work.enqueue(PurgeExpired())
    work_off(app)

    for model in (StoredFile, FileChunk, UserImport, UserImportRow):
        assert count(app, model) == 0, model


def test_import_requires_its_permission(signed_in, app, people):
    assert signed_in.get(IMPORT).status_code == 403
    assert signed_in.get("/users/export.csv").status_code == 403


# ── commands ──


@pytest.fixture
def with_worker(app, monkeypatch):
    """A caller that waits for a worker finds the work done."""
    monkeypatch.setattr("app.web.progress_bar.time.sleep", lambda seconds: work_off(app))


def test_command_checks_asks_imports_and_reports(app, flask, people, with_worker, tmp_path):
    people.add("ada@example.com", name="Ada Lovelace", roles=("administrator",))
    file, written = tmp_path / "people.csv", tmp_path / "report.csv"
    file.write_text("email,name,roles\nnew@example.com,New,administrator\nada@example.com,Ada King,\nnonsense,,\n")

    dry = flask("users", "import", str(file), "--dry-run")
    assert (
        dry.stdout == "1 new, 1 changed, 0 unchanged, 1 refused\n  row 4: nonsense: Missing or invalid email address.\n"
    )
    declined = flask("users", "import", str(file), typed="n\n")
    assert declined.exit_code == 0
    assert "new@example.com" not in users(app)
    done = flask("users", "import", str(file), "--yes", "--report", str(written), "--json")

    assert json.loads(done.stdout)["applied"] == {"added": 1, "updated": 1, "refused": 1}
    assert "Importing" in done.stderr
    assert users(app)["new@example.com"] == ("New", ["administrator"])
    assert written.read_text().splitlines()[1] == "2,new@example.com,New,administrator,added,"
    exported = flask("users", "export").stdout
    again = tmp_path / "again.csv"
    again.write_text(exported)
    assert flask("users", "import", str(again), "--yes").stdout == "0 new, 0 changed, 2 unchanged, 0 refused\n"


def test_command_explains_an_invalid_file(flask, with_worker, tmp_path):
    file = tmp_path / "people.csv"
    file.write_bytes(b"PK\x03\x04")
    refused = flask("users", "import", str(file))
    assert refused.exit_code == 1
    assert "Error: This is an Excel or ZIP file" in refused.stderr
    assert flask("users", "import", str(tmp_path / "none.csv")).exit_code == 2


# ── the API ──


def test_api_imports_like_the_page(app, admin, people):
    root, csv_file = Program(app).login(admin), {"Content-Type": "text/csv"}
    sent = root.send("POST", "/users/imports?name=p.csv", data=b"email\nnew@example.com\nnonsense\n", headers=csv_file)
    assert (sent.status_code, sent.json["data"]["state"]) == (202, "checking")
    path = sent.headers["Location"].removeprefix("/api/v1")
    assert root.post(f"{path}/start", {}).status_code == 409
    work_off(app)
    shown = root.get(path).json["data"]
    assert (shown["state"], shown["checked"], shown["rows"]) == ("checked", {"new": 1, "refused": 1}, 2)
    assert shown["examples"][0]["row"] == 3

    assert root.post(f"{path}/start", {"invites": False}).json["data"]["state"] == "applying"
    assert root.post(f"{path}/cancel").json["data"]["state"] == "stopped"
    assert root.post(f"{path}/resume").json["data"]["state"] == "applying"
    work_off(app)

    assert root.get(path).json["data"]["applied"] == {"added": 1, "refused": 1}
    first = root.get(f"{path}/rows?limit=1").json["data"]
    second = root.get(f"{path}/rows?limit=1&cursor={first['next']}").json["data"]
    assert [row["outcome"] for row in first["items"] + second["items"]] == ["added", "refused"]
    assert root.get(f"{path}/rows?outcome=added").json["data"]["items"] == first["items"]
    assert Program(app).login(people.add("b@example.com", roles=("administrator",))).get(path).status_code == 404
    assert root.post("/users/imports", {"email": "a"}).status_code == 415


def test_import_with_an_api_key_is_limited_to_its_scopes(app, admin):
    root = Program(app).login(admin)
    answer = root.post("/api-keys", {"name": "Importer", "scopes": ["users:import", "users:invite"]})
    key = Program(app, token=answer.json["data"]["key"])
    content = b"email,roles\nnew@example.com,administrator\nother@example.com,\n"
    sent = key.send("POST", "/users/imports", data=content, headers={"Content-Type": "text/csv"})
    path = sent.headers["Location"].removeprefix("/api/v1")
    work_off(app)
    key.post(f"{path}/start", {})
    work_off(app)

    assert "new@example.com" not in users(app)
    assert users(app)["other@example.com"] == ("", ["member"])


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("name", ["setup.exe", "people.xlsx", "people", "people.csv.exe", ".csv/people"])
def test_file_with_another_extension_is_refused_before_it_is_stored(app, grace, admin, flask, tmp_path, name):
    content = b"email\nada@example.com\n"
    answer = grace.post(IMPORT, {"file": (io.BytesIO(content), name)}, content_type="multipart/form-data")
    assert (answer.status_code, "(.csv, .tsv or .txt)" in answer.text) == (422, True)
    program = Program(app).login(admin)
    refused = program.post(f"/users/imports?name={name}", data=content, headers={"Content-Type": "text/csv"})
    assert (refused.status_code, refused.json["errors"][0]["code"]) == (422, "unreadable_file")
    file = tmp_path / name.replace("/", "-")
    file.write_bytes(content)
    result = flask("users", "import", str(file), "--dry-run")
    assert (result.exit_code, "(.csv, .tsv or .txt)" in result.output) == (1, True)
    with app.app_context():
        assert db.session.scalar(select(func.count()).select_from(StoredFile)) == 0


@pytest.mark.databases("sqlite")
def test_extension_may_be_uppercase(app, grace, upload):
    assert "1 row checked" in grace.page(upload(grace, "email\nada@example.com\n", name="PEOPLE.TSV")).text("main")


@pytest.mark.databases("sqlite")
def test_rows_that_remove_permissions_are_marked_including_ones_own(app, grace, admin, people, upload, flask):
    people.add("root@example.com", roles=("administrator",))
    people.add("mia@example.com", roles=("member",))
    page = grace.page(
        upload(grace, f"email,roles\n{admin.email},member\nroot@example.com,manager\nmia@example.com,manager\n")
    )
    assert "Some rows remove permissions" in page.text("main .notice")
    shown = page.texts("main tbody tr")
    assert ["of your own account" in row for row in shown] == [True, False, False]
    assert ["fewer permissions" in row for row in shown] == [True, True, False]
    harmless = grace.page(upload(grace, "email,roles\nmia@example.com,manager\n"))
    assert "permissions away" not in harmless.text("main")


@pytest.mark.databases("sqlite")
def test_import_works_with_closed_registration_and_says_so(app, grace, upload, new_browser, flask):
    grace.post("/admin/settings", {"registration": "closed", "announcement": ""}, page="/admin/settings")
    page = upload(grace, "email,name\nnew@example.com,New\n")
    assert "Sign-up is closed. The import still creates these accounts." in grace.page(page).text("main")
    assert "Email each new user" not in grace.page(page).text("main")
    assert "Added 1" in start(app, grace, page)
    assert users(app)["new@example.com"] == ("New", ["member"])
