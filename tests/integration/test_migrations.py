"""The schema: a single line of migrations, up and down with data, equal to the models."""

import re

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, select, text

from app.core.extensions import db
from app.core.migration_state import current_revision, include_object, known_revisions, newest_revision
from app.core.models import Base
from app.core.settings import ROOT
from app.users.models import Role, User
from tests.support.browser import Browser
from tests.support.commands import flask_command
from tests.support.databases import own_revisions
from tests.support.people import People

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def flask(app, *arguments):
    result = flask_command(app, *arguments)
    assert result.exit_code == 0, result.output
    return result


def tables(app):
    with app.app_context():
        return set(inspect(db.engine).get_table_names())


@pytest.mark.databases("sqlite")
def test_single_head_and_file_reader_agrees_with_alembic():
    script = ScriptDirectory(str(ROOT / "migrations"))

    assert script.get_heads() == [newest_revision()]
    assert {revision.revision for revision in script.walk_revisions()} == known_revisions()
    for step in script.walk_revisions():
        assert re.fullmatch(rf"{step.revision}_[a-z0-9_]+\.py", step.path.rsplit("/", 1)[-1])


@pytest.mark.databases("postgresql")
def test_migrations_can_be_printed_as_sql(fresh_app):
    script = flask(fresh_app, "db", "upgrade", "--sql").output

    assert "CREATE TABLE users" in script
    assert "INSERT INTO roles" in script


def test_migration_reports_its_revisions(fresh_app):
    newest = newest_revision()
    assert f"revision: {newest} (before: none)." in flask(fresh_app, "db", "upgrade").stderr
    assert f"revision: {newest}." in flask(fresh_app, "db", "upgrade").stderr
    assert f"(before: {newest})." in flask(fresh_app, "db", "downgrade").stderr
    assert f"revision: {newest} (before: " in flask(fresh_app, "db", "stamp", "head").stderr


def test_models_match_the_migrations(fresh_app):
    flask(fresh_app, "db", "upgrade")

    with fresh_app.app_context(), db.engine.connect() as connection:
        compared = {"compare_type": True, "compare_server_default": True, "include_object": include_object}
        assert compare_metadata(MigrationContext.configure(connection, opts=compared), Base.metadata) == []
        assert current_revision() == newest_revision()


def test_table_of_a_deleted_feature_is_no_difference(fresh_app):
    flask(fresh_app, "db", "upgrade")

    with fresh_app.app_context(), db.engine.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE forgotten (id INTEGER PRIMARY KEY)")
        context = MigrationContext.configure(connection, opts={"include_object": include_object})
        assert compare_metadata(context, Base.metadata) == []


def test_schema_migrates_up_down_and_up_with_data(fresh_app):
    flask(fresh_app, "db", "upgrade")
    People(fresh_app).add("ada@example.com")
    browser = Browser(fresh_app)
    browser.login("ada@example.com", "a quieter harbour")
    assert browser.is_signed_in()

    flask(fresh_app, "db", "downgrade", "base")
    assert tables(fresh_app) <= {"alembic_version"}

    flask(fresh_app, "db", "upgrade")
    with fresh_app.app_context():
        assert db.session.scalars(select(Role.name).order_by(Role.name)).all() == ["administrator", "manager", "member"]
        assert db.session.scalars(select(User)).all() == []


def test_copied_roles_table_keeps_rows_and_users(fresh_app):
    flask(fresh_app, "db", "upgrade")
    People(fresh_app).add("grace@example.com", roles=("administrator", "manager"))
    held = "SELECT roles.name FROM roles JOIN user_roles ON role_id = roles.id ORDER BY roles.name"

    for step in (("downgrade", "0005"), ("upgrade",)):
        flask(fresh_app, "db", *step)
        with fresh_app.app_context():
            assert db.session.scalars(text(held)).all() == ["administrator", "manager"]
            assert db.session.scalars(text("SELECT name FROM roles ORDER BY name")).all() == [
                "administrator", "manager", "member",
            ]  # fmt: skip


def test_migration_of_role_descriptions_keeps_those_that_were_edited(fresh_app):
    def descriptions():
        with fresh_app.app_context():
            return dict(db.session.execute(text("SELECT name, description FROM roles")).all())

    flask(fresh_app, "db", "upgrade", "0022")
    before = descriptions()
    with fresh_app.app_context():
        db.session.execute(text("UPDATE roles SET description = 'Our own words.' WHERE name = 'manager'"))
        db.session.commit()

    flask(fresh_app, "db", "upgrade", "0023")
    assert descriptions() == {
        "administrator": "All permissions.",
        "manager": "Our own words.",
        "member": "Manages their own account.",
    }

    flask(fresh_app, "db", "downgrade", "0022")
    assert descriptions() == before | {"manager": "Our own words."}


def test_migration_stores_the_domains_of_existing_addresses(fresh_app):
    words = text("SELECT word FROM user_words WHERE word LIKE '@%' ORDER BY word")
    flask(fresh_app, "db", "upgrade")
    People(fresh_app).add_all([{"email": "ada@example.com", "name": "Ada @example.com"}, {"email": "bob@example.org"}])

    flask(fresh_app, "db", "downgrade", "0023")
    with fresh_app.app_context():
        assert db.session.scalars(words).all() == []

    flask(fresh_app, "db", "upgrade")
    with fresh_app.app_context():
        assert db.session.scalars(words).all() == ["@example.com", "@example.org"]


def test_second_upgrade_changes_nothing(fresh_app):
    flask(fresh_app, "db", "upgrade")
    People(fresh_app).add("ada@example.com")
    flask(fresh_app, "db", "upgrade")

    with fresh_app.app_context():
        assert db.session.scalars(select(User.email)).all() == ["ada@example.com"]


def test_newer_database_is_served(app, client):
    """In the middle of an upgrade, or after a rollback to the older release."""
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'newer'"))
    try:
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json["migrations"], ready.json["status"]) == (200, "newer", "degraded")
        assert client.get("/auth/login").status_code == 200
        assert "the database is newer than this code" in flask_command(app, "doctor").output
    finally:
        with app.app_context(), db.engine.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = :head"), {"head": newest_revision()})


@pytest.mark.parametrize(
    ("lookup", "index"),
    [
        ("SELECT id FROM users WHERE email = 'ada@example.com'", "email"),
        ("SELECT id FROM sessions WHERE token_hash = 'x'", "token_hash"),
        ("SELECT id FROM one_time_links WHERE token_hash = 'x'", "token_hash"),
        ("SELECT id FROM throttles WHERE key = 'x'", "key"),
        ("SELECT id FROM users WHERE email BETWEEN 'ada' AND 'adb'", "email"),
        ("SELECT id FROM audit_events WHERE subject_id = 1 ORDER BY id DESC LIMIT 25", "subject_id"),
        ("SELECT id FROM sent_mails WHERE user_id = 1 ORDER BY id DESC LIMIT 25", "user_id"),
    ],
)
@pytest.mark.databases("sqlite")
def test_frequent_lookups_use_an_index(app, lookup, index):
    with app.app_context(), db.engine.connect() as connection:
        (plan,) = {row.detail for row in connection.execute(text(f"EXPLAIN QUERY PLAN {lookup}"))}

    assert "SEARCH" in plan
    assert index in plan


# ── rolling upgrades ──


def shape(app):
    """Return for each column whether an INSERT may leave it out."""
    with app.app_context():
        inspector = inspect(db.engine)
        return {
            (table, column["name"]): bool(
                column["nullable"] or column["default"] or column.get("autoincrement") is True
            )
            for table in inspector.get_table_names()
            for column in inspector.get_columns(table)
        }


def contractions(before, after):
    """Return what the previous release needs and would miss: removed columns, and new required ones."""
    tables = {table for table, _ in before}
    gone = {f"-{table}.{column}" for table, column in before.keys() - after.keys()}
    return gone | {
        f"!{table}.{column}"
        for (table, column), is_optional in after.items()
        if table in tables and not is_optional and before.get((table, column), True)
    }


@pytest.mark.databases("sqlite")
def test_migrations_remove_nothing_the_previous_release_uses(fresh_app):
    """A later release removes what a release stops using: an entry here says since when it is unused."""
    removed, before = {}, {}
    for revision in sorted(own_revisions()):
        flask(fresh_app, "db", "upgrade", revision)
        after = shape(fresh_app)
        if missed := contractions(before, after):
            removed[revision] = missed
        before = after
    keys = {"id", "kid", "private_jwk", "public_jwk", "created_at", "retired_at"}
    assert removed == {
        # Before the first release.
        "0004": {"-jobs.rung_at"},
        "0005": {f"-signing_keys.{column}" for column in keys},
        "0011": {"-jobs.progress"},
    }


@pytest.mark.skipif(newest_revision() not in own_revisions(), reason="the newest migration is not Gatehouse's own")
def test_new_code_serves_an_unmigrated_database(fresh_app):
    flask(fresh_app, "db", "upgrade")
    People(fresh_app).add("grace@example.com", roles=("administrator",))
    browser = Browser(fresh_app)
    browser.login("grace@example.com", "a quieter harbour")
    browser.confirm("a quieter harbour")
    flask(fresh_app, "db", "downgrade")

    paths = {
        rule.rule
        for rule in fresh_app.url_map.iter_rules()
        if "GET" in rule.methods and not rule.arguments and rule.endpoint != "static"
    }
    answers = {path: browser.send("GET", path) for path in sorted(paths)}
    wait = {path for path, answer in answers.items() if answer.status_code == 503}
    assert all(answers[path].headers["Retry-After"] for path in wait - {"/readyz"})
    assert not [path for path, answer in answers.items() if answer.status_code == 500]
    assert wait == {"/readyz"}
    assert len([path for path, answer in answers.items() if answer.status_code == 200]) > 40
