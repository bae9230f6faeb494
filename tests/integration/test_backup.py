"""`flask backup` and `flask restore`: into either database, and never over existing data."""

import json
import stat
import sys
from zipfile import ZipFile

import flask_migrate as migrate
import pytest
from sqlalchemy import func, inspect, select, text

from app.audit.models import AuditEvent
from app.auth.models import Session
from app.core.extensions import db
from app.core.migration_state import newest_revision
from app.core.models import Base
from app.jobs.tasks import NoOperation
from app.site.service import SiteSettings
from app.unit_of_work import unit_of_work
from app.users.models import User
from tests.support.browser import Browser
from tests.support.commands import flask_command
from tests.support.databases import fresh_database
from tests.support.mailbox import work_off
from tests.support.people import People
from tests.support.program import Program

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def rows(app):
    """Return every row by table."""
    with app.app_context(), db.engine.connect() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key))]
            for table in Base.metadata.sorted_tables
        }


@pytest.fixture
def lived_in(app, admin, ada, mailbox):
    """An application with sessions, keys, tokens, emails, files, an import, jobs and an ended session."""
    browser = Browser(app)
    browser.login(ada)
    browser.forgot_password(ada.email)
    browser.confirm(ada.password)
    browser.post("/account/data/copy", {}, page="/account/data")
    grace = Program(app).login(admin)
    grace.post("/api-keys", {"name": "Reporter", "scopes": ["users:read"]})
    grace.post("/invitations", {"email": "new@example.com", "roles": ["member"]})
    Browser(app).login(admin.email, "not the password")
    work_off(app)
    with app.app_context(), unit_of_work() as work:
        work.enqueue(NoOperation())
        work[SiteSettings].change(announcement="Soon")
    return app


@pytest.fixture
def backup(tmp_path):
    """Back up an application; return the file."""

    def backup(app):
        file = tmp_path / f"backup{len([*tmp_path.glob('*.zip')])}.zip"
        done = flask_command(app, "backup", str(file))
        assert done.exit_code == 0, done.output
        return file

    return backup


def restored(app, file):
    done = flask_command(app, "restore", str(file))
    assert done.exit_code == 0, done.output
    return app


def refused(app, *arguments):
    done = flask_command(app, *arguments)
    assert (done.exit_code, done.output.count("\n")) == (1, 1), done.output
    return done.output


@pytest.mark.parametrize("target", ["sqlite", "postgresql"])
def test_every_row_is_restored_in_either_database(lived_in, backup, make_app, target, postgres, tmp_path):
    before = rows(lived_in)
    assert not [name for name in ("sessions", "jobs", "file_chunks", "sent_mails", "api_keys") if not before[name]]
    file = backup(lived_in)
    beside = postgres if target == "postgresql" else "sqlite://"
    app = restored(make_app(database_url=fresh_database(beside, tmp_path), instance_path=tmp_path / "new"), file)
    after = rows(app)

    ended_sessions = [dict(zip(Session.__table__.columns.keys(), row, strict=True)) for row in after.pop("sessions")]
    live = [dict(zip(Session.__table__.columns.keys(), row, strict=True)) for row in before.pop("sessions")]
    assert [row["token_hash"] for row in ended_sessions] == [row["token_hash"] for row in live]
    assert all(row["ended_at"] for row in ended_sessions)
    for name in ("audit_events", "audit_details"):
        assert after.pop(name)[: len(before[name])] == before.pop(name)
    assert after == before
    with app.app_context():
        newest = select(AuditEvent.kind).order_by(AuditEvent.id.desc()).limit(2)
        assert db.session.scalars(newest).all() == ["site.restored", "session.ended_all"]
        assert [*ids_that_come_next(db.session)] == []
    for _ in range(4):
        assert Browser(app).login("ada@example.com", "a quieter harbour").status_code == 302


def ids_that_come_next(session):
    """Return the tables whose next ID was used already."""
    for table in Base.metadata.sorted_tables:
        if not (table.autoincrement_column is not None and table.autoincrement_column.name == "id"):
            continue
        highest = session.scalar(select(func.max(table.c.id))) or 0
        if session.get_bind().dialect.name == "sqlite":
            following = (session.scalar(text(f"SELECT max(id) FROM {table.name}")) or 0) + 1
            kept = session.scalar(text("SELECT seq FROM sqlite_sequence WHERE name = :name"), {"name": table.name})
            following = max(following, (kept or 0) + 1)
        else:
            following = session.scalar(text(f"SELECT nextval(pg_get_serial_sequence('{table.name}', 'id'))"))
        if following <= highest:
            yield table.name


def test_restore_killed_after_the_rows_restores_no_session(lived_in, backup, fresh_app, monkeypatch):
    file = backup(lived_in)

    def stops(revision=None):
        return migrate.upgrade(revision=revision) if revision else sys.exit("killed")

    monkeypatch.setattr("app.ops.backup.upgrade", stops)
    assert flask_command(fresh_app, "restore", str(file)).exit_code == 1
    with fresh_app.app_context():
        assert db.session.scalars(select(Session.ended_at)).all()
        assert None not in db.session.scalars(select(Session.ended_at)).all()


def test_restored_application_works(lived_in, admin, backup, fresh_app):
    app = restored(fresh_app, backup(lived_in))
    browser = Browser(app)
    assert browser.login(admin).status_code == 302
    assert work_off(app) == 1
    assert flask_command(app, "audit", "verify").exit_code == 0


def test_restored_ids_are_not_reused(app, backup, fresh_app):
    people = People(app)
    people.add("ada@example.com")
    last = people.add("gone@example.com").id
    with app.app_context(), unit_of_work() as work:
        work.session.execute(User.__table__.delete().where(User.id == last))
    restored(fresh_app, backup(app))
    assert People(fresh_app).add("next@example.com").id == last + 1


def test_generated_key_and_own_templates_are_restored(app, backup, fresh_app, tmp_path, make_app):
    folder = app.extensions["settings"].instance_path
    (folder / "templates" / "auth").mkdir(parents=True)
    (folder / "templates" / "auth" / "login.html").write_text("ours")
    (folder / "static").mkdir()
    (folder / "static" / "logo.svg").write_text("<svg/>")
    (folder / "secret_key").write_text("k" * 43)
    file = backup(app)
    new = make_app(instance_path=tmp_path / "new", database_url=fresh_app.extensions["settings"].database_url)
    restored(new, file)
    assert (tmp_path / "new" / "templates" / "auth" / "login.html").read_text() == "ours"
    assert (tmp_path / "new" / "static" / "logo.svg").read_text() == "<svg/>"
    assert (tmp_path / "new" / "secret_key").read_text() == "k" * 43
    assert stat.S_IMODE((tmp_path / "new" / "secret_key").stat().st_mode) == 0o600


def changed(file, tmp_path, change, *, older=None):
    """Copy the backup with changed content; with `older`, keep only these columns of each table."""
    other = tmp_path / "other.zip"
    with ZipFile(file) as source, ZipFile(other, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "manifest.json":
                manifest = json.loads(content)
                change(manifest)
                content = json.dumps(manifest).encode()
            elif name.startswith("rows/"):
                content = only((older or {}).get(name[5:-6]), content, source, table=name[5:-6])
            target.writestr(name, content)
    return str(other)


def only(columns, content, source, *, table):
    """Return the rows of a table with these columns only."""
    if columns is None:
        return content
    manifest = json.loads(source.read("manifest.json"))
    kept = next([*entry["columns"]] for entry in manifest["tables"] if entry["name"] == table)
    rows = [dict(zip(kept, json.loads(line), strict=True)) for line in content.splitlines()]
    lines = [json.dumps([value for name, value in row.items() if name in columns]) for row in rows]
    return "".join(f"{line}\n" for line in lines).encode()


def test_older_backup_is_migrated_to_this_release(app, ada, backup, fresh_app, tmp_path):
    flask_command(fresh_app, "db", "upgrade", "0015")
    with fresh_app.app_context():
        inspector = inspect(db.engine)
        older = {
            table: {column["name"] for column in inspector.get_columns(table)} for table in inspector.get_table_names()
        }
    flask_command(fresh_app, "db", "downgrade", "base")

    def change(manifest):
        manifest["revision"] = "0015"
        manifest["tables"] = [table for table in manifest["tables"] if table["name"] in older]
        for table in manifest["tables"]:
            for name in table["columns"].keys() - older[table["name"]]:
                table["columns"].pop(name)

    restored(fresh_app, changed(backup(app), tmp_path, change, older=older))
    with fresh_app.app_context():
        assert db.session.scalars(select(User.email)).all() == [ada.email]
    assert Browser(fresh_app).get("/readyz").json["migrations"] == "ok"


def test_restore_overwrites_nothing(app, ada, backup, fresh_app, tmp_path):
    file = backup(app)
    mode = stat.S_IMODE(file.stat().st_mode)
    assert mode == 0o600
    assert "already exists" in refused(app, "backup", str(file))
    assert "The database is not empty" in refused(app, "restore", str(file))
    assert "No such file" in refused(app, "backup", str(tmp_path / "nowhere" / "x.zip"))
    assert "name too long" in refused(app, "backup", str(tmp_path / ("x" * 300)))
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []

    folder = fresh_app.extensions["settings"].instance_path
    (folder / "templates").mkdir(parents=True)
    (folder / "templates" / "home.html").write_text("theirs")
    own = changed(file, tmp_path, lambda manifest: manifest["files"].append("templates/home.html"))
    assert "already exists" in refused(fresh_app, "restore", own)
    outside = changed(file, tmp_path, lambda manifest: manifest["files"].append("../outside"))
    assert "not a file of an instance folder" in refused(fresh_app, "restore", outside)


def test_incomplete_backup_restores_nothing_and_another_can_be_restored(app, ada, backup, fresh_app, tmp_path):
    file = backup(app)
    (tmp_path / "text.zip").write_text("no archive")
    assert "not a whole backup" in refused(fresh_app, "restore", str(tmp_path / "text.zip"))

    def count_one_more(manifest):
        manifest["tables"][-1]["rows"] += 1

    for change in (count_one_more, lambda manifest: manifest.pop("tables")):
        assert "not a whole backup" in refused(fresh_app, "restore", changed(file, tmp_path, change))
    newer = changed(file, tmp_path, lambda manifest: manifest.update(revision="9999", release="2.0"))
    assert "created by a newer release (2.0)" in refused(fresh_app, "restore", newer)

    restored(fresh_app, file)
    assert Browser(fresh_app).login(ada).status_code == 302


def test_only_the_current_schema_is_backed_up(fresh_app, tmp_path):
    assert "flask db upgrade" in refused(fresh_app, "backup", str(tmp_path / "x.zip"))
    flask_command(fresh_app, "db", "upgrade", "0015")
    assert "flask db upgrade" in refused(fresh_app, "backup", str(tmp_path / "x.zip"))
    assert newest_revision() != "0015"
