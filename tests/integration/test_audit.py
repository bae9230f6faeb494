"""The audit log: found, exported, kept from changes, and provably whole."""

import csv
import io
import json

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from app.extensions import db
from app.services import audit_chain, audit_search
from app.unit_of_work import unit_of_work
from app.web.exports import COLUMNS, cell
from tests.support.program import Program, code, codes
from tests.support.statements import statements

pytestmark = pytest.mark.databases("sqlite", "postgresql")


@pytest.fixture
def grace(client, admin):
    """An administrator's browser."""
    client.sign_in(admin)
    return client


def sentences(page):
    return page.texts("ol.events .row-title")


def test_the_log_tells_what_an_administrator_did(grace, ada, flask):
    version = grace.page(f"/users/{ada.id}/edit").value("version")
    grace.post(
        f"/users/{ada.id}/edit", {"name": "Ada King", "email": ada.email, "roles": ["manager"], "version": version}
    )
    grace.post(f"/users/{ada.id}/deactivate", {"reason": "On leave."})
    grace.post(f"/users/{ada.id}/activate", {}, page=f"/users/{ada.id}")
    flask("users", "delete", ada.email, "--now", "--yes")

    page = grace.page("/admin/audit")

    assert sentences(page)[:6] == [
        "The account was erased.",
        "The account was activated again.",
        "The account was deactivated: …",
        "The role member was taken away.".replace("member", "…"),
        "The role … was given.",
        "The name changed from “…” to “…”.",
    ]
    assert f"user {ada.id} (erased)" in page.text("main")


def test_before_and_after_are_there(grace, ada, flask):
    flask("users", "edit", ada.email, "--name", "Ada King")
    event = grace.page("/admin/audit?kind=user.renamed")
    assert sentences(event) == ["The name changed from “Ada Lovelace” to “Ada King”."]
    assert event.texts("details dd")[:2] == ["Ada King", "Ada Lovelace"] or "Ada King" in event.text("details")


def test_filters(grace, ada, admin, flask, clock):
    grace.post(f"/users/{ada.id}/deactivate", {"reason": "x"})
    today = f"{clock.now.date()}"
    for query, found in (
        (f"actor={admin.email}&kind=user.deactivated", 1),
        (f"actor={admin.id}&subject={ada.id}&kind=user.deactivated", 1),
        (f"subject={ada.email}&kind=user.deactivated&since={today}&until={today}", 1),
        ("actor=nobody@example.com", 0),
        ("actor=not an address", 0),
        ("actor=999999999999999999999", 0),
        ("kind=user.deactivated&until=2020-01-01", 0),
        ("kind=user.deactivated&since=2099-01-01", 0),
    ):
        assert len(sentences(grace.page(f"/admin/audit?{query}"))) == found, query
    everything = len(sentences(grace.page("/admin/audit")))
    for query in ("kind=nonsense", "since=soon", "before=x", "actor=%00", "since=0001-01-01", "until=9999-12-31"):
        assert len(sentences(grace.page(f"/admin/audit?{query}"))) == everything, query


def test_a_member_reads_no_log_and_exports_none(signed_in, app, ada):
    for path in ("/admin/audit", "/admin/audit.csv", "/admin/audit.jsonl"):
        assert signed_in.get(path).status_code == 403
    answer = Program(app).login(ada).get("/audit-events")
    assert (answer.status_code, code(answer)) == (403, "forbidden")


def test_the_log_is_read_page_by_page_with_one_query_each(grace, app):
    with app.app_context(), unit_of_work() as work:
        for number in range(120):
            work.audit.record("user.created", subject_id=None, number=number)
    seen, path = 0, "/admin/audit?kind=user.created"
    while path:
        with statements() as asked:
            page = grace.page(path)
        assert len(asked) <= 2, asked
        seen += len(sentences(page))
        following = page.find_all("nav.pager a.forward")
        path = following[0].attrs["href"] if following else None
    assert seen == 121


@pytest.mark.parametrize(
    "filters", ["", "?actor=1", "?subject=1", "?kind=user.created", "?since=2020-01-01&until=2020-02-01"]
)
@pytest.mark.databases("sqlite")
def test_no_page_of_the_log_reads_it_through(grace, app, filters):
    with statements() as asked:
        grace.get(f"/admin/audit{filters}")
    statement, values = asked[-1]
    with app.app_context(), db.engine.connect() as connection:
        plan = [row.detail for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)]
    assert not any("TEMP B-TREE" in step for step in plan), plan
    # Without a filter the page is the newest end of the table; it stops at the limit.
    assert filters == "" or not any(step.startswith("SCAN audit_events") for step in plan), plan


# ── exports ──


def test_exports_are_whole_and_hold_no_formula(grace, ada, flask, app, monkeypatch):
    monkeypatch.setattr(audit_search, "CHUNK", 2)
    flask("users", "edit", ada.email, "--name", "=HYPERLINK(1)")
    answer = grace.get("/admin/audit.csv?kind=user.renamed")
    assert answer.headers["Content-Disposition"] == "attachment; filename=audit.csv"
    (row,) = csv.DictReader(io.StringIO(answer.text))
    assert tuple(row) == COLUMNS
    assert row["subject"] == ada.email
    assert "=HYPERLINK(1)" in json.loads(row["values"])["after"]

    lines = [json.loads(line) for line in grace.get("/admin/audit.jsonl").text.splitlines()]
    assert [line["id"] for line in lines] == sorted((line["id"] for line in lines), reverse=True)
    assert lines[0]["kind"] == "audit.exported"
    exported = flask("audit", "export", "--kind", "user.renamed", "--format", "csv").output
    assert exported.splitlines()[1].split(",")[2] == "user.renamed"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_cell_is_never_a_formula(text):
    assert cell(text) == f"'{text}"
    assert cell("a=1") == "a=1"
    assert cell(None) == ""


def test_the_log_through_the_api(app, admin, ada, flask):
    root = Program(app).login(admin)
    flask("users", "deactivate", ada.email, "--reason", "left")
    (event,) = root.get(f"/audit-events?subject_id={ada.id}&kind=user.deactivated").json["data"]["items"]
    assert (event["sentence"], event["subject"], event["actor_id"]) == (
        "The account was deactivated: left",
        ada.email,
        None,
    )
    first = root.get("/audit-events?limit=2").json["data"]
    second = root.get(f"/audit-events?limit=2&cursor={first['next']}").json["data"]
    ids = [each["id"] for each in first["items"] + second["items"]]
    assert ids == sorted(set(ids), reverse=True)
    assert codes(root.get(f"/audit-events?kind=user.created&cursor={first['next']}")) == {("cursor", "invalid_cursor")}
    assert codes(root.get("/audit-events?subject_id=x&fields=digest")) == {
        ("subject_id", "wrong_type"),
        ("fields", "unknown_field"),
    }


@pytest.mark.parametrize("query", ["until=9999-12-31T23:59:59Z", "since=1000-01-01T00:00:00Z"])
def test_the_ends_of_time_are_times(app, admin, query):
    assert Program(app).login(admin).get(f"/audit-events?{query}").json["data"]["items"]


def test_the_log_from_the_command_line(flask, ada):
    flask("users", "edit", ada.email, "--name", "Ada King")
    assert f"- > {ada.email}  The name changed" in flask("audit", "list", "--subject", ada.email).output
    (event,) = json.loads(flask("audit", "list", "--kind", "user.renamed", "--json").output)
    assert event["values"]["after"] == "Ada King"
    assert flask("audit", "list", "--until", "2001-01-01").output == "No events.\n"
    assert flask("audit", "list", "--actor", "nobody@example.com").exit_code == 1
    assert flask("audit", "list", "--kind", "nonsense").exit_code == 2


# ── append-only ──


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit_events SET kind = 'x'",
        "DELETE FROM audit_events",
        "UPDATE audit_details SET address = 'x'",
        "UPDATE audit_seals SET hash = 'x'",
        "UPDATE audit_seals SET entries = '[]'",
        "DELETE FROM audit_seals",
    ],
)
def test_what_is_in_the_log_is_not_changed(app, ada, clock, change):
    seal(app, clock)
    with app.app_context(), pytest.raises(DatabaseError, match="append-only"), db.engine.begin() as connection:
        connection.execute(text(change))


def test_erasing_a_person_and_counting_again_are_no_changes_of_the_log(app, ada, clock, flask, signed_in):
    for _ in range(2):
        signed_in.get("/users")
    seal(app, clock)
    signed_in.get("/users")
    flask("users", "delete", ada.email, "--now", "--yes")
    assert flask("audit", "verify").exit_code == 0


# ── the chain ──


def seal(app, clock):
    """Seal what is there; returns how many events."""
    clock.advance(minutes=11)
    with app.app_context(), unit_of_work() as work:
        return work.audit_chain.seal()


def tampered(app, *statements):
    """Change the log as somebody does who has the database in hand."""
    with app.app_context(), db.engine.begin() as connection:
        triggers = [
            "audit_events_update",
            "audit_events_delete",
            "audit_details_update",
            "audit_seals_update",
            "audit_seals_delete",
        ]
        if db.engine.dialect.name == "sqlite":
            for name in triggers:
                connection.execute(text(f"DROP TRIGGER {name}"))
        else:
            connection.execute(text("SET session_replication_role = replica"))
        for statement in statements:
            connection.execute(text(statement))


@pytest.fixture
def chain(app, people, clock, monkeypatch):
    """Four seals of three events and less; returns the ids of the events."""
    monkeypatch.setattr(audit_chain, "BATCH", 3)
    people.add("ada@example.com", name="Ada")
    people.add("bob@example.com", name="Bob")
    sizes = [seal(app, clock) for _ in range(3)]
    assert sizes == [3, 1, 0]
    people.add("eve@example.com", name="Eve")
    assert seal(app, clock) == 2
    with app.app_context():
        return list(db.session.scalars(text("SELECT id FROM audit_events ORDER BY id")))


def verified(flask):
    return json.loads(flask("audit", "verify", "--json").output)


def test_a_whole_chain_verifies(chain, flask, people):
    people.add("zoe@example.com")
    told = verified(flask)
    assert (told["problem"], told["checked"], told["pruned"], told["unsealed"]) == (None, 6, 0, 2)
    assert told["head"] in flask("audit", "verify").output


def test_what_is_young_is_not_sealed_yet(app, people):
    people.add("ada@example.com")
    with app.app_context(), unit_of_work() as work:
        assert work.audit_chain.seal() == 0


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("UPDATE audit_events SET kind = 'user.erased' WHERE id = {1}", "Event {1} was altered."),
        ("UPDATE audit_events SET actor_id = 7 WHERE id = {4}", "Event {4} was altered."),
        ("DELETE FROM audit_details WHERE event_id = {2}; DELETE FROM audit_events WHERE id = {2}", "Event {2} is missing."),
        ("UPDATE audit_details SET address = '192.0.2.1' WHERE event_id = {3}", "The details of event {3} were altered."),
        ("UPDATE audit_seals SET entries = '[]' WHERE id = {s2}", "Seal number {s2} was altered"),
        ("DELETE FROM audit_seals WHERE id = {s2}", "The seal before number {s3} is missing"),
        ("DELETE FROM audit_seals WHERE id = {s1}", "The seal before number {s2} is missing"),
    ],
)  # fmt: skip
def test_the_first_thing_that_is_wrong_is_named(app, chain, flask, change, problem):
    with app.app_context():
        seals = list(db.session.scalars(text("SELECT id FROM audit_seals ORDER BY id")))
    named = {f"s{number}": seal_id for number, seal_id in enumerate(seals, 1)}
    tampered(app, *(part.format(*chain, **named) for part in change.split(";")))

    ended = flask("audit", "verify")

    assert (ended.exit_code, problem.format(*chain, **named) in ended.stderr) == (1, True), ended.stderr
    assert verified(flask)["problem"]


def test_two_events_that_changed_places_are_noticed(app, chain, flask):
    one, other = chain[0], chain[1]
    swap = "UPDATE audit_events SET kind = CASE id WHEN {0} THEN 'role.assigned' ELSE 'user.created' END WHERE id IN ({0}, {1})"
    tampered(app, swap.format(one, other))
    assert verified(flask)["problem"] == f"Event {one} was altered."


def test_an_event_that_was_put_in_later_is_noticed(app, chain, flask):
    copied = "at, kind, actor_id, subject_id, session_id, request_id, digest"
    tampered(
        app,
        f"DELETE FROM audit_details WHERE event_id = {chain[5]}",
        f"UPDATE audit_seals SET last_id = last_id + 50 WHERE last_id = {chain[5]}",
        f"INSERT INTO audit_events (id, {copied}) SELECT {chain[5]} + 9, {copied} FROM audit_events WHERE id = {chain[5]}",
    )
    assert verified(flask)["problem"] == f"Event {chain[5] + 9} was put in later."


@pytest.mark.settings(audit_event_days=30)
def test_after_its_retention_the_log_goes_seal_by_seal_and_the_chain_stays(app, chain, flask, clock, people, work_off):
    clock.advance(days=31)
    people.add("zoe@example.com")
    for _ in range(2):
        flask("jobs", "schedule", "--once")
        work_off()
        clock.advance(minutes=16)

    told = verified(flask)
    assert (told["problem"], told["pruned"], told["checked"]) == (None, 6, 2)
    with app.app_context():
        assert db.session.scalar(text("SELECT min(id) FROM audit_events")) > chain[-1]
        assert db.session.scalar(text("SELECT min(event_id) FROM audit_details")) > chain[-1]


def test_without_a_retention_nothing_goes(app, chain, clock):
    clock.advance(days=40_000)
    with app.app_context(), unit_of_work() as work:
        assert work.audit_chain.prune() == 0
