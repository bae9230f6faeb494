"""The audit log: search, export, append-only storage, and the hash chain."""

import csv
import io
import json
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DatabaseError

from app.audit.models import AuditSeal
from app.audit.services import chain as audit_chain
from app.audit.services import search as audit_search
from app.core.extensions import db
from app.unit_of_work import unit_of_work
from app.web.exports import COLUMNS, MARK, cell
from tests.support.pages import Page
from tests.support.program import Program, code, codes
from tests.support.statements import statements

pytestmark = pytest.mark.databases("sqlite", "postgresql")


@pytest.fixture
def grace(client, admin):
    """An administrator's browser."""
    client.sign_in(admin)
    return client


def sentences(page):
    return page.texts(".events summary")


def test_administrator_actions_are_recorded(grace, ada, flask):
    version = grace.page(f"/users/{ada.id}/edit").value("version")
    grace.post(
        f"/users/{ada.id}/edit", {"name": "Ada King", "email": ada.email, "roles": ["manager"], "version": version}
    )
    grace.post(f"/users/{ada.id}/deactivate", {"reason": "On leave."})
    grace.post(f"/users/{ada.id}/activate", {}, page=f"/users/{ada.id}")
    flask("users", "delete", ada.email, "--now", "--yes")

    page = grace.page("/admin/audit")

    assert sentences(page)[:6] == [
        "Account permanently deleted.",
        "Account reactivated.",
        "Account deactivated: …",
        "Role … removed.",
        "Role … assigned.",
        "Name changed from “…” to “…”.",
    ]
    assert f"user {ada.id} (erased)" in page.text("main")


def test_event_has_values_before_and_after(grace, ada, flask):
    flask("users", "edit", ada.email, "--name", "Ada King")
    event = grace.page("/admin/audit?kind=user.renamed")
    assert sentences(event) == ["Name changed from “Ada Lovelace” to “Ada King”."]
    assert event.texts("main details dd")[:2] == ["Ada King", "Ada Lovelace"] or "Ada King" in event.text(
        "main details"
    )


def test_audit_filters_select_events(grace, ada, admin, flask, clock):
    grace.post(f"/users/{ada.id}/deactivate", {"reason": "x"})
    today = f"{clock.now.date()}"
    for query, expected in (
        (f"actor={admin.email}&kind=user.deactivated", 1),
        (f"actor={admin.id}&subject={ada.id}&kind=user.deactivated", 1),
        (f"subject={ada.email}&kind=user.deactivated&since={today}&until={today}", 1),
        ("actor=nobody@example.com", 0),
        ("actor=not an address", 0),
        ("actor=999999999999999999999", 0),
        ("kind=user.deactivated&until=2020-01-01", 0),
        ("kind=user.deactivated&since=2099-01-01", 0),
    ):
        assert len(sentences(grace.page(f"/admin/audit?{query}"))) == expected, query
    everything = len(sentences(grace.page("/admin/audit")))
    for query in ("kind=nonsense", "since=soon", "before=x", "actor=%00", "since=0001-01-01", "until=9999-12-31"):
        assert len(sentences(grace.page(f"/admin/audit?{query}"))) == everything, query


@pytest.mark.databases("sqlite")
@pytest.mark.settings(time_zone="Pacific/Auckland")
def test_presets_keep_the_filters_and_follow_the_time_zone(grace, clock):
    page = grace.page("/admin/audit?kind=session.started&since=2020-01-01")
    urls = {link.to_text().strip(): link.attrs["href"] for link in page.find_all(".acts a")}
    today = clock().astimezone(ZoneInfo("Pacific/Auckland")).date()

    assert urls["Today"] == f"/admin/audit?kind=session.started&since={today}&until={today}"
    week = today - timedelta(days=6)
    assert urls["Last 7 days"] == f"/admin/audit?kind=session.started&since={week}&until={today}"
    assert grace.get(urls["Last 7 days"]).status_code == 200


def test_period_that_ends_before_it_starts_is_refused(grace, admin, app, flask):
    period = "since=2026-02-02&until=2026-02-01"
    answer = grace.get(f"/admin/audit?{period}")
    assert answer.status_code == 422
    page = Page(answer.text)
    assert "end must be after the start" in page.text("#period-problem")
    assert (page.value("since"), page.value("until")) == ("2026-02-02", "2026-02-01")
    assert grace.get(f"/admin/audit.csv?{period}").status_code == 422
    refused = Program(app).login(admin).get("/audit-events?since=2026-02-02T00:00:00Z&until=2026-02-01T00:00:00Z")
    assert (refused.status_code, code(refused)) == (422, "invalid_period")
    for command in ("list", "export"):
        result = flask("audit", command, "--since", "2026-02-02", "--until", "2026-02-01")
        assert (result.exit_code, "end must be after the start" in result.output) == (1, True)
    assert grace.get("/admin/audit?since=2026-02-01&until=2026-02-01").status_code == 200


def test_member_can_neither_read_nor_export_the_audit_log(signed_in, app, ada):
    for path in ("/admin/audit", "/admin/audit.csv", "/admin/audit.jsonl"):
        assert signed_in.get(path).status_code == 403
    answer = Program(app).login(ada).get("/audit-events")
    assert (answer.status_code, code(answer)) == (403, "forbidden")


def test_audit_pages_take_one_query_each(grace, app):
    with app.app_context(), unit_of_work() as work:
        for number in range(120):
            work.audit.record("user.created", subject_id=None, number=number)
    seen, path = 0, "/admin/audit?kind=user.created"
    while path:
        with statements() as queries:
            page = grace.page(path)
        assert len(queries) <= 2, queries
        seen += len(sentences(page))
        following = page.find_all("nav.pager a.forward")
        path = following[0].attrs["href"] if following else None
    assert seen == 121


@pytest.mark.parametrize(
    "filters", ["", "?actor=1", "?subject=1", "?kind=user.created", "?since=2020-01-01&until=2020-02-01"]
)
@pytest.mark.databases("sqlite")
def test_audit_pages_use_an_index(grace, app, filters):
    with statements() as queries:
        grace.get(f"/admin/audit{filters}")
    statement, values = queries[-1]
    with app.app_context(), db.engine.connect() as connection:
        plan = [row.detail for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)]
    assert not any("TEMP B-TREE" in step for step in plan), plan
    # Without a filter the page reads the newest end of the table and stops at its limit.
    assert filters == "" or not any(step.startswith("SCAN audit_events") for step in plan), plan


# ── exports ──


def test_exports_are_complete_and_contain_no_formula(grace, ada, flask, app, monkeypatch):
    monkeypatch.setattr(audit_search, "CHUNK", 2)
    flask("users", "edit", ada.email, "--name", "=HYPERLINK(1)")
    answer = grace.get("/admin/audit.csv?kind=user.renamed")
    assert answer.headers["Content-Disposition"] == "attachment; filename=audit.csv"
    assert answer.text.startswith(MARK)
    (row,) = csv.DictReader(io.StringIO(answer.text.removeprefix(MARK)))
    assert tuple(row) == COLUMNS
    assert row["subject"] == ada.email
    assert "=HYPERLINK(1)" in json.loads(row["values"])["after"]

    lines = [json.loads(line) for line in grace.get("/admin/audit.jsonl").text.splitlines()]
    assert [line["id"] for line in lines] == sorted((line["id"] for line in lines), reverse=True)
    assert lines[0]["kind"] == "audit.exported"
    exported = flask("audit", "export", "--kind", "user.renamed", "--format", "csv").output
    assert exported.splitlines()[1].split(",")[2] == "user.renamed"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_csv_cell_is_never_a_formula(text):
    assert cell(text) == f"'{text}"
    assert cell("a=1") == "a=1"
    assert cell(None) == ""


def test_audit_log_through_the_api(app, admin, ada, flask):
    root = Program(app).login(admin)
    flask("users", "deactivate", ada.email, "--reason", "left")
    (event,) = root.get(f"/audit-events?subject_id={ada.id}&kind=user.deactivated").json["data"]["items"]
    assert (event["sentence"], event["subject"], event["actor_id"]) == (
        "Account deactivated: left",
        ada.email,
        None,
    )
    first = root.get("/audit-events?limit=2").json["data"]
    second = root.get(f"/audit-events?limit=2&cursor={first['next']}").json["data"]
    ids = [item["id"] for item in first["items"] + second["items"]]
    assert ids == sorted(set(ids), reverse=True)
    assert codes(root.get(f"/audit-events?kind=user.created&cursor={first['next']}")) == {("cursor", "invalid_cursor")}
    assert codes(root.get("/audit-events?subject_id=x&fields=digest")) == {
        ("subject_id", "wrong_type"),
        ("fields", "unknown_field"),
    }


@pytest.mark.parametrize("query", ["until=9999-12-31T23:59:59Z", "since=1000-01-01T00:00:00Z"])
def test_extreme_dates_are_accepted(app, admin, query):
    assert Program(app).login(admin).get(f"/audit-events?{query}").json["data"]["items"]


def test_audit_log_from_the_command_line(flask, ada):
    flask("users", "edit", ada.email, "--name", "Ada King")
    assert f"- > {ada.email}  Name changed" in flask("audit", "list", "--subject", ada.email).output
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
        "DELETE FROM audit_details",
        "UPDATE audit_seals SET pruned_at = CURRENT_TIMESTAMP",
        "UPDATE audit_seals SET retention_days = 1",
        "INSERT INTO audit_events (id, at, kind, digest) VALUES (-7, CURRENT_TIMESTAMP, 'user.created', 'x')",
        "INSERT INTO audit_events (id, at, kind, digest) VALUES (0, CURRENT_TIMESTAMP, 'user.created', 'x')",
    ],
)
def test_audit_rows_cannot_be_changed(app, ada, clock, change):
    seal(app, clock)
    with app.app_context(), pytest.raises(DatabaseError, match="append-only"), db.engine.begin() as connection:
        connection.execute(text(change))


@pytest.mark.databases("postgresql")
@pytest.mark.parametrize("table", ["audit_events, audit_details", "audit_details", "audit_seals"])
def test_audit_table_cannot_be_truncated(app, ada, clock, table):
    seal(app, clock)
    with app.app_context(), pytest.raises(DatabaseError, match="append-only"), db.engine.begin() as connection:
        connection.execute(text(f"TRUNCATE {table}"))


def test_erasure_and_counting_do_not_break_the_chain(app, ada, clock, flask, signed_in):
    for _ in range(2):
        signed_in.get("/users")
    seal(app, clock)
    signed_in.get("/users")
    flask("users", "delete", ada.email, "--now", "--yes")
    assert flask("audit", "verify").exit_code == 0


# ── the chain ──


def seal(app, clock):
    """Seal all events; return their number."""
    clock.advance(minutes=11)
    with app.app_context(), unit_of_work() as work:
        return work.audit_chain.seal()


def tampered(app, *statements):
    """Change the log like an attacker with access to the database."""
    with app.app_context(), db.engine.begin() as connection:
        triggers = [
            "audit_events_update",
            "audit_events_delete",
            "audit_details_update",
            "audit_details_delete",
            "audit_events_insert",
            "audit_seals_update",
            "audit_seals_delete",
        ]
        if db.engine.dialect.name == "sqlite":
            for name in triggers:
                connection.execute(text(f"DROP TRIGGER IF EXISTS {name}"))
        else:
            connection.execute(text("SET session_replication_role = replica"))
        for statement in statements:
            connection.execute(text(statement))


@pytest.fixture
def chain(app, people, clock, monkeypatch):
    """Four seals of at most three events; returns the event IDs."""
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


def test_complete_chain_verifies(chain, flask, people):
    people.add("zoe@example.com")
    output = verified(flask)
    assert (output["problem"], output["checked"], output["pruned"], output["unsealed"]) == (None, 6, 0, 2)
    assert output["head"] in flask("audit", "verify").output


def test_recent_events_are_not_sealed_yet(app, people):
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
        ("DELETE FROM audit_details WHERE event_id = {3}", "The details of event {3} are missing."),
        ("UPDATE audit_seals SET entries = '[]' WHERE id = {s2}", "Seal number {s2} was altered"),
        ("UPDATE audit_seals SET retention_days = 1 WHERE id = {s2}", "Seal number {s2} was altered"),
        ("UPDATE audit_seals SET version = 1 WHERE id = {s3}", "Seal number {s3} was altered"),
        ("UPDATE audit_seals SET sealed_at = '2001-01-01 00:00:00' WHERE id = {s1}", "Seal number {s1} was altered"),
        ("DELETE FROM audit_seals WHERE id = {s2}", "The seal before number {s3} is missing"),
        ("DELETE FROM audit_seals WHERE id = {s1}", "The seal before number {s2} is missing"),
    ],
)  # fmt: skip
def test_first_broken_event_is_named(app, chain, flask, change, problem):
    with app.app_context():
        seals = list(db.session.scalars(text("SELECT id FROM audit_seals ORDER BY id")))
    named = {f"s{number}": seal_id for number, seal_id in enumerate(seals, 1)}
    tampered(app, *(part.format(*chain, **named) for part in change.split(";")))

    result = flask("audit", "verify")

    assert (result.exit_code, problem.format(*chain, **named) in result.stderr) == (1, True), result.stderr
    assert verified(flask)["problem"]


def test_swapped_events_are_detected(app, chain, flask):
    one, other = chain[0], chain[1]
    swap = "UPDATE audit_events SET kind = CASE id WHEN {0} THEN 'role.assigned' ELSE 'user.created' END WHERE id IN ({0}, {1})"
    tampered(app, swap.format(one, other))
    assert verified(flask)["problem"] == f"Event {one} was altered."


def to_version_1(app):
    """Rewrite the seals like a release that did not attest the retention."""
    with app.app_context():
        previous, changes = audit_chain.NO_HASH, []
        for seal in db.session.scalars(select(AuditSeal).order_by(AuditSeal.id)):
            seal.version, seal.previous_hash = 1, previous
            previous = audit_chain.seal_hash(seal)
            changes.append(
                "UPDATE audit_seals SET version = 1, retention_days = NULL, pruned_through = NULL, "
                f"previous_hash = '{seal.previous_hash}', hash = '{previous}' WHERE id = {seal.id}"
            )
            db.session.expunge(seal)
    tampered(app, *changes)


def test_inserted_event_is_detected(app, chain, flask):
    to_version_1(app)
    copied = "at, kind, actor_id, subject_id, session_id, request_id, digest"
    tampered(
        app,
        f"UPDATE audit_seals SET last_id = last_id + 50 WHERE last_id = {chain[5]}",
        f"INSERT INTO audit_events (id, {copied}) SELECT {chain[5]} + 9, {copied} FROM audit_events WHERE id = {chain[5]}",
    )
    assert verified(flask)["problem"] == f"Event {chain[5] + 9} was put in later."


@pytest.mark.settings(audit_event_days=30)
def test_retention_removes_whole_seals_and_keeps_the_chain(app, chain, flask, clock, people, work_off):
    clock.advance(days=31)
    people.add("zoe@example.com")
    for _ in range(2):
        flask("jobs", "schedule", "--once")
        work_off()
        clock.advance(minutes=16)

    output = verified(flask)
    assert (output["problem"], output["pruned"], output["checked"]) == (None, 6, 2)
    with app.app_context():
        assert db.session.scalar(text("SELECT min(id) FROM audit_events")) > chain[-1]
        assert db.session.scalar(text("SELECT min(event_id) FROM audit_details")) > chain[-1]


def test_without_retention_nothing_is_removed(app, chain, clock):
    clock.advance(days=40_000)
    with app.app_context(), unit_of_work() as work:
        assert work.audit_chain.prune() == 0


PRUNE_ALL = (
    "UPDATE audit_seals SET pruned_at = {at}",
    "DELETE FROM audit_details",
    "DELETE FROM audit_events",
)


@pytest.mark.parametrize("retention", [0, 30])
def test_events_removed_as_if_expired_are_detected(app, chain, flask, clock, retention):
    with app.app_context():
        first = db.session.scalar(text("SELECT min(id) FROM audit_seals"))
    app.extensions["settings"] = app.extensions["settings"].model_copy(update={"audit_event_days": retention})
    tampered(app, *(statement.format(at="CURRENT_TIMESTAMP") for statement in PRUNE_ALL))
    problem = f"The events of seal number {first} were removed before their retention had passed."
    assert verified(flask)["problem"] == problem


@pytest.mark.settings(audit_event_days=30)
def test_early_removal_is_detected_later_too(app, chain, flask, clock, people):
    """Later seals do not excuse it."""
    at = f"'{clock() + timedelta(days=2):%Y-%m-%d %H:%M:%S}'"
    tampered(app, *(statement.format(at=at) for statement in PRUNE_ALL))
    clock.advance(days=40)
    people.add("zoe@example.com")
    seal(app, clock)
    assert "were removed before their retention had passed" in verified(flask)["problem"]


@pytest.mark.settings(audit_event_days=30)
def test_longer_retention_does_not_excuse_missing_newer_seals(app, chain, flask, clock):
    clock.advance(days=31)
    with app.app_context():
        last = db.session.scalar(text("SELECT max(id) FROM audit_seals"))
        ids = db.session.execute(text("SELECT first_id, last_id FROM audit_seals WHERE id = :id"), {"id": last}).one()
    tampered(
        app,
        f"UPDATE audit_seals SET pruned_at = '{clock():%Y-%m-%d %H:%M:%S}' WHERE id = {last}",
        f"DELETE FROM audit_details WHERE event_id BETWEEN {ids[0]} AND {ids[1]}",
        f"DELETE FROM audit_events WHERE id BETWEEN {ids[0]} AND {ids[1]}",
    )
    assert f"The events of seal number {last} were removed" in verified(flask)["problem"]


@pytest.mark.parametrize("event_id", [-7, 0])
def test_event_with_an_id_below_one_is_detected(app, chain, flask, event_id):
    added = f"INSERT INTO audit_events (id, at, kind, digest) VALUES ({event_id}, '2020-01-01 00:00:00', 'x', 'x')"
    tampered(app, added)
    assert verified(flask)["problem"] == f"Event {event_id} was put in later."


def test_emptied_and_restarted_log_is_detected(app, people, flask, clock):
    people.add_all({"email": f"p{number}@example.com"} for number in range(60))
    seal(app, clock)
    tampered(app, "DELETE FROM audit_seals", "DELETE FROM audit_details", "DELETE FROM audit_events")
    assert verified(flask)["problem"] == "The events before number 121 are missing."
    people.add("zoe@example.com")
    assert verified(flask)["problem"] == "The events before number 121 are missing."
    seal(app, clock)
    assert verified(flask)["problem"] == "The events before number 121 are missing."


def test_externally_stored_head_is_compared(app, chain, flask, clock, people):
    head, last_id = flask("audit", "head").output.split()
    assert (head, int(last_id)) == (verified(flask)["head"], chain[-1])
    people.add("zoe@example.com")
    seal(app, clock)
    assert flask("audit", "verify", "--head", head).exit_code == 0
    assert flask("audit", "verify", "--head", f"{head} {last_id}").exit_code == 0
    refused = flask("audit", "verify", "--head", "f" * 64)
    assert (refused.exit_code, "the chain was made anew" in refused.stderr) == (1, True)


def test_erasure_event_does_not_excuse_details_of_an_existing_user(app, chain, flask, people):
    with app.app_context(), unit_of_work() as work:
        ada = work.users.get_by_email("ada@example.com")
        work.audit.record("user.erased", subject_id=ada.id)
    tampered(app, f"DELETE FROM audit_details WHERE subject_id = {ada.id} AND event_id = {chain[0]}")
    assert verified(flask)["problem"] == f"The details of event {chain[0]} are missing."


def test_seals_of_the_first_version_stay_valid_and_are_continued(app, chain, flask, clock, people):
    """Seals from before retention was attested."""
    to_version_1(app)
    assert verified(flask)["problem"] is None
    people.add("zoe@example.com")
    seal(app, clock)
    assert verified(flask)["problem"] is None
    tampered(app, "UPDATE audit_seals SET pruned_at = '2020-01-01 00:00:00' WHERE version = 1")
    assert "were removed before their retention" in verified(flask)["problem"]
