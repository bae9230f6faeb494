"""API keys: created on a page or through the API, shown once, never wider than their owner."""

import json
import re
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import joinedload

from app.api_keys.models import ApiKey
from app.api_keys.tasks import WarnOfExpiringKeys
from app.audit.models import AuditEvent
from app.core.errors import WrongPassword
from app.core.extensions import db, limiter
from app.features import load_features
from app.unit_of_work import unit_of_work
from tests.support.program import Program, code, codes

SCHEDULE = load_features().schedule


@pytest.fixture
def manager(app, admin):
    return Program(app).login(admin)


def made(manager, **body):
    answer = manager.post("/api-keys", {"name": "Nightly report", "scopes": ["users:read"], **body})
    assert answer.status_code == 201, answer.text
    return answer.json["data"]


def test_api_key_is_created_shown_once_renamed_and_revoked(app, client, admin, mailbox):
    client.sign_in(admin)
    page = client.post("/account/api-keys", {"name": "Nightly report", "scopes": "users:read", "days": "30"})
    (key,) = re.findall(r"ghk_\w+", page.text)[:1]
    program = Program(app, token=key)
    path = re.search(r"/account/api-keys/\d+", client.get("/account/api-keys").text).group()

    assert program.get("/users").status_code == 200
    assert key not in client.get("/account/api-keys").text
    assert key[:10] in mailbox.last_to(admin.email).text
    assert client.post(path, {"name": "Weekly report"}).status_code == 302
    assert "Weekly report" in client.get("/account/api-keys").text
    assert client.post(f"{path}/end", page="/account/api-keys").status_code == 302
    assert program.get("/users").status_code == 401
    assert client.get(path).status_code == 404
    assert client.post(f"{path}/end", page="/account/api-keys").status_code == 302


@pytest.mark.parametrize("typed", [{"name": " "}, {"name": "x", "scopes": "users:fly"}, {"name": "x", "days": "12"}])
def test_invalid_api_key_form_is_refused_and_keeps_input(client, admin, typed):
    client.sign_in(admin)

    assert client.post("/account/api-keys", {"days": "30", **typed}).status_code == 422


def test_api_key_is_limited_by_its_scopes_and_owner(app, manager, people):
    key = made(manager)
    program = Program(app, token=key["key"])
    listed = manager.get("/api-keys").json["data"]["items"]

    assert program.get("/users").status_code == 200
    assert program.post("/users", {"email": "new@example.com"}).status_code == 403
    assert [row["id"] for row in listed] == [key["id"]]
    assert "key" not in listed[0]
    assert manager.get(f"/api-keys/{key['id']}").json["data"]["last_used_at"] is not None
    assert program.post("/api-keys", {"name": "Another"}).status_code == 403


def test_events_by_an_api_key_name_it(app, manager, ada):
    key = made(manager, scopes=["users:read", "users:edit"])

    assert Program(app, token=key["key"]).put(f"/users/{ada.id}", {"name": "Ada King"}).status_code == 200

    with app.app_context():
        event = db.session.scalars(
            select(AuditEvent).options(joinedload(AuditEvent.detail)).where(AuditEvent.kind == "user.renamed")
        ).one()
        assert (event.detail.values["api_key"], event.session_id) == (key["id"], None)


@pytest.mark.parametrize(
    ("change", "status"),
    [({"roles": ["member"]}, 403), ({"is_active": False}, 401), (None, 401)],
    ids=["role", "deactivation", "deletion"],
)
def test_changes_of_the_owner_apply_on_the_next_request(app, manager, people, change, status):
    owner = people.add("owner@example.com", roles=("administrator",))
    token = Program(app).login(owner)
    key = Program(app, token=made(token)["key"])
    assert [program.get("/users").status_code for program in (token, key)] == [200, 200]

    if change is None:
        assert manager.delete(f"/users/{owner.id}").status_code == 200
    else:
        assert manager.put(f"/users/{owner.id}", {"name": "Owner", **change}).status_code == 200

    assert [program.get("/users").status_code for program in (token, key)] == [status, status]


def test_api_key_cannot_exceed_its_owner_or_expire_in_the_past(app, ada, manager, clock):
    member = Program(app).login(ada)

    assert codes(member.post("/api-keys", {"name": "x", "scopes": ["users:read"]})) == {("scopes", "scope_not_held")}
    assert codes(manager.post("/api-keys", {"name": "x", "expires_at": "2001-01-01T00:00:00Z"})) == {
        ("expires_at", "in_the_past")
    }


def test_revoking_a_key_takes_effect_once_and_at_once(app, manager):
    key = made(manager)

    assert manager.delete(f"/api-keys/{key['id']}").status_code == 200
    assert Program(app, token=key["key"]).get("/users/me").status_code == 401
    assert manager.delete(f"/api-keys/{key['id']}").status_code == 404


def test_at_most_fifty_keys_are_active(app, manager, admin, clock):
    with app.app_context(), unit_of_work() as work:
        for number in range(50):
            work.session.add(
                ApiKey(user_id=admin.id, name="x", prefix="ghk_x", key_hash=f"{number}", scopes=[], created_at=clock())
            )

    assert code(manager.post("/api-keys", {"name": "One more"})) == "too_many_api_keys"


def test_owner_is_notified_once_before_a_key_expires(app, manager, admin, clock, mailbox):
    ends = clock().replace(microsecond=0)
    made(manager, expires_at=ends.replace(year=ends.year + 1).isoformat().replace("+00:00", "Z"))
    mailbox.all()
    clock.advance(days=360)
    for _ in range(2):
        with app.app_context(), unit_of_work() as work:
            work.enqueue(WarnOfExpiringKeys())
        mailbox.all()

    notices = [mail for mail in mailbox.to(admin.email) if "expires soon" in mail.subject]
    assert len(notices) == 1
    assert any(isinstance(tick.task, WarnOfExpiringKeys) for tick in SCHEDULE)


def test_repeated_idempotency_key_returns_the_first_response_without_the_secret(manager):
    named = {"headers": {"Idempotency-Key": "order-17"}}
    first = manager.post("/api-keys", {"name": "x"}, **named)
    again = manager.post("/api-keys", {"name": "x"}, **named)

    assert again.status_code == first.status_code == 201
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json["data"] == {**first.json["data"], "key": None}
    assert code(manager.post("/api-keys", {"name": "y"}, **named)) == "idempotency_key_reused"
    assert len(manager.get("/api-keys").json["data"]["items"]) == 1
    assert code(manager.post("/api-keys", {"name": "x"}, headers={"Idempotency-Key": "k" * 256})) == "idempotency_key"


@pytest.mark.databases("sqlite", "postgresql")
def test_recorded_refusal_is_kept_and_frees_the_idempotency_key(app, manager, admin, monkeypatch):
    def refuse(self, owner, **_):
        self.audit.record("confirm.refused", subject_id=owner.user_id)
        raise WrongPassword

    named = {"headers": {"Idempotency-Key": "order-17"}}
    with monkeypatch.context() as patch:
        patch.setattr("app.api_keys.service.ApiKeys.create_key", refuse)
        assert manager.post("/api-keys", {"name": "x"}, **named).status_code == 401
    with app.app_context():
        noted = select(AuditEvent.id).where(AuditEvent.kind == "confirm.refused")
        assert len(db.session.scalars(noted).all()) == 1
    assert manager.post("/api-keys", {"name": "x"}, **named).status_code == 201


@pytest.mark.settings(limit_scale=1, limit_api="2 per minute")
def test_api_key_quota_is_reported_in_headers(app, manager):
    program = Program(app, token=made(manager)["key"])
    answers = [program.get("/users") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[0].headers["RateLimit-Policy"] == '"key";q=2;w=60'
    assert answers[0].headers["RateLimit"].startswith('"key";r=1;')
    assert int(answers[2].headers["Retry-After"]) > 0


def test_api_key_quota_takes_one_round_trip_to_redis(app, manager, monkeypatch):
    program = Program(app, token=made(manager)["key"])
    assert program.get("/users").status_code == 200  # Loads the script.
    redis = limiter.storage.storage
    send, sent = redis.execute_command, []
    monkeypatch.setattr(
        redis, "execute_command", lambda *command, **how: sent.append(command[0]) or send(*command, **how)
    )

    answer = program.get("/users")

    assert answer.headers["RateLimit"].startswith('"key";r=')
    assert sent == ["EVALSHA"]


def test_operator_lists_and_revokes_keys(app, flask, manager, admin, ada):
    key = made(manager, expires_at=None)
    program = Program(app, token=key["key"])
    assert program.get("/users").status_code == 200

    (listed,) = json.loads(flask("keys", "list", "--json").stdout)
    assert listed == {
        "id": key["id"],
        "user": admin.email,
        "name": "Nightly report",
        "prefix": key["key"][:10],
        "scopes": ["users:read"],
        "created_at": listed["created_at"],
        "expires_at": None,
        "last_used_at": listed["last_used_at"],
    }
    assert "Nightly report" in flask("keys", "list", "--user", admin.email).output
    assert flask("keys", "list", "--user", ada.email).output == "No API keys.\n"
    assert key["key"] not in flask("keys", "list", "--json").output

    assert flask("keys", "revoke", str(key["id"])).exit_code == 0
    assert program.get("/users/me").status_code == 401
    assert flask("keys", "list").output == "No API keys.\n"
    again = flask("keys", "revoke", str(key["id"]))
    assert (again.exit_code, again.stderr) == (1, "Error: API key not found.\n")


def test_operator_creates_key_within_the_permissions_of_its_owner(app, admin, ada, flask):
    created = flask("keys", "create", admin.email, "--name", "Backup", "--scope", "users:read", "--days", "30")
    assert Program(app, token=created.output.strip()).get("/users").status_code == 200
    (listed,) = json.loads(flask("keys", "list", "--json").stdout)
    assert (listed["name"], listed["scopes"], listed["user"]) == ("Backup", ["users:read"], admin.email)
    assert listed["expires_at"] is not None

    refused = flask("keys", "create", ada.email, "--name", "Backup", "--scope", "users:read")
    assert refused.exit_code == 1
    assert "users:read" in refused.stderr

    flask("users", "deactivate", ada.email, "--reason", "Left")
    assert flask("keys", "create", ada.email, "--name", "Backup").stderr == "Error: The user can't sign in.\n"
    assert flask("keys", "create", ada.email).exit_code == 2


# ── scopes for the owner's account ──


@pytest.fixture
def with_scopes(app, manager, admin):
    """A program with a new API key of the administrator."""
    return lambda *scopes: Program(app, token=made(manager, scopes=[*scopes])["key"])


def test_key_without_scopes_cannot_use_its_owners_account(with_scopes, admin):
    program = with_scopes()
    for path in ("/users/me", "/sessions", "/api-keys"):
        assert program.get(path).status_code == 403, path
    assert program.get(f"/users/{admin.id}").status_code == 404
    assert program.put(f"/users/{admin.id}", {"name": "x"}).status_code == 404


def test_key_with_account_read_only_reads(with_scopes, admin, manager):
    program = with_scopes("account:read")
    for path in ("/users/me", f"/users/{admin.id}", "/sessions", "/api-keys"):
        assert program.get(path).status_code == 200, path
    session = manager.get("/sessions").json["data"]["items"][0]["id"]
    for refused in (
        program.put(f"/users/{admin.id}", {"name": "x"}),
        program.delete(f"/sessions/{session}"),
        program.post("/api-keys", {"name": "another"}),
        program.delete(f"/api-keys/{program.get('/api-keys').json['data']['items'][0]['id']}"),
        program.post("/auth/confirm", {"password": admin.password}),
        program.post("/auth/logout"),
    ):
        assert refused.status_code == 403, refused.text
    assert manager.get("/users/me").json["data"]["name"] == "Grace Hopper"


def test_key_with_account_write_only_renames_and_ends_sessions(with_scopes, admin, manager, mailbox):
    program = with_scopes("account:read", "account:write")
    assert program.put(f"/users/{admin.id}", {"name": "Amazing Grace"}).status_code == 200
    moved = program.put(f"/users/{admin.id}", {"name": "Amazing Grace", "email": "new@example.com"})
    assert (moved.status_code, code(moved)) == (403, "confirmation_required")
    assert mailbox.to("new@example.com") == []
    session = manager.get("/sessions").json["data"]["items"][0]["id"]
    assert program.delete(f"/sessions/{session}").status_code == 200
    assert manager.get("/users/me").status_code == 401


def test_key_assigns_the_default_role_only(with_scopes, ada, people):
    program = with_scopes("users:read", "users:edit", "users:invite", "roles:assign", "users:delete", "roles:edit")
    for refused in (
        program.put(f"/users/{ada.id}", {"name": "Ada", "roles": ["member", "manager"]}),
        program.post("/users", {"email": "new@example.com", "roles": ["administrator"]}),
        program.delete(f"/users/{ada.id}"),
        program.post("/roles", {"name": "clerk", "permissions": ["users:read"]}),
    ):
        assert refused.status_code == 403, refused.text
    assert program.put(f"/users/{ada.id}", {"name": "Ada", "roles": ["member"]}).status_code == 200
    assert program.post("/users", {"email": "new@example.com", "roles": ["member"]}).status_code == 201


def test_audit_events_name_the_key(app, with_scopes, admin):
    program = with_scopes("account:write")
    program.put(f"/users/{admin.id}", {"name": "Amazing Grace"})
    with app.app_context():
        newest = select(AuditEvent).where(AuditEvent.kind == "user.renamed").options(joinedload(AuditEvent.detail))
        values = db.session.scalars(newest).one().detail.values
    assert program.token.startswith(values["api_key_prefix"])
    assert values["api_key"] > 0


def test_key_expires_after_ninety_days_by_default(manager, clock):
    usual = manager.post("/api-keys", {"name": "usual"}).json["data"]["expires_at"]
    assert datetime.fromisoformat(usual) == clock.now + timedelta(days=90)
    assert manager.post("/api-keys", {"name": "for ever", "expires_at": None}).json["data"]["expires_at"] is None
