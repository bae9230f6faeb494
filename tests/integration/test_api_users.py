"""Users through the API: lists cost the same on every page, and only fields of the schema are accepted."""

import gzip
import json

import pytest

from app.auth.models import Purpose
from app.core.extensions import db
from app.core.principal import OPERATOR
from app.unit_of_work import unit_of_work
from app.users.models import MORE_USER_FIELDS, Role
from app.users.services.roles import RoleSpec
from tests.support.browser import Browser
from tests.support.program import Program, code, codes
from tests.support.statements import statements

FIELDS = {
    "id", "email", "name", "is_active", "email_verified_at", "roles", "created_at", "updated_at", "last_seen_at",
    *MORE_USER_FIELDS,
}  # fmt: skip


@pytest.fixture
def member(app, ada):
    return Program(app).login(ada)


@pytest.fixture
def manager(app, admin):
    return Program(app).login(admin)


@pytest.fixture
def crowd(people, admin, clock):
    """Twelve users, two created at each time."""

    def described():
        for number in range(12):
            if number % 2 == 0:
                clock.advance(seconds=1)
            yield {"email": f"person{number:02}@example.com", "name": f"Person {'ABC'[number % 3]} Number{number}"}

    return people.add_all(described())


def walk(program, query, limit=5):
    items, cursor = [], None
    while True:
        page = program.get(f"/users?limit={limit}{query}" + (f"&cursor={cursor}" if cursor else ""))
        assert page.status_code == 200, page.text
        items += page.json["data"]["items"]
        cursor = page.json["data"]["next"]
        if cursor is None:
            return items


@pytest.fixture(params=["few", "many"])
def matches(request, monkeypatch):
    """Choose whether filters match few users, which are sorted, or many, which are read through an index."""
    if request.param == "many":
        monkeypatch.setattr("app.users.services.search.FEW", -1)
    return request.param


def test_own_profile_has_exactly_these_fields(member, ada):
    for path in ("/users/me", f"/users/{ada.id}"):
        answer = member.get(path)
        assert answer.status_code == 200
        assert set(answer.json["data"]) == FIELDS
        assert answer.json["data"]["created_at"].endswith("Z")
    assert set(member.get("/users/me?fields=id,email").json["data"]) == {"id", "email"}
    assert member.get("/users/me?fields=hashed_password").status_code == 422


def test_other_users_are_hidden_without_the_permission(member, admin):
    assert member.get(f"/users/{admin.id}").status_code == 404
    answer = member.get("/users")
    assert (answer.status_code, code(answer)) == (403, "forbidden")
    assert Program(member.app).get("/users").status_code == 401


@pytest.mark.parametrize("sort", ["created_at", "email", "name", "last_seen_at"])
@pytest.mark.parametrize("sign", ["", "-"])
@pytest.mark.databases("sqlite", "postgresql")
def test_paging_returns_each_user_once_in_order(manager, crowd, sort, sign):
    users = walk(manager, f"&sort={sign}{sort}")

    assert len(users) == 13
    assert len({user["id"] for user in users}) == 13
    pairs = [(user[sort], user["id"]) for user in users if user[sort] is not None]
    assert pairs == sorted(pairs, reverse=sign == "-")
    assert all(user[sort] is None for user in users[len(pairs) :])


@pytest.mark.databases("sqlite", "postgresql")
def test_page_is_stable_when_users_are_added(manager, crowd, people):
    first = manager.get("/users?limit=5&sort=-created_at").json["data"]
    people.add("late@example.com")
    second = manager.get(f"/users?limit=5&sort=-created_at&cursor={first['next']}").json["data"]
    assert not {item["id"] for item in first["items"]} & {item["id"] for item in second["items"]}
    assert "late@example.com" not in {item["email"] for item in second["items"]}


def test_cursor_works_only_for_its_own_list(manager, crowd):
    cursor = manager.get("/users?limit=5&sort=email").json["data"]["next"]
    for query in (
        f"sort=name&cursor={cursor}",
        f"sort=email&q=per&cursor={cursor}",
        "cursor=forged",
        f"cursor={cursor}x",
    ):
        answer = manager.get(f"/users?{query}")
        assert (answer.status_code, codes(answer)) == (422, {("cursor", "invalid_cursor")}), query


@pytest.mark.usefixtures("matches")
@pytest.mark.databases("sqlite", "postgresql")
def test_search_matches_the_start_of_addresses_and_names(manager, crowd):
    assert len(walk(manager, "&q=person0")) == 10
    assert {user["name"].split()[1] for user in walk(manager, "&q=b")} == {"B"}
    assert [user["email"] for user in walk(manager, "&q=c+number11")] == ["person11@example.com"]
    assert walk(manager, "&q=erson") == []
    assert [user["email"] for user in walk(manager, "&q=PERSON03@example.com")] == ["person03@example.com"]
    assert walk(manager, "&q=%25") == []


@pytest.mark.databases("sqlite", "postgresql")
def test_renamed_user_is_found_by_the_new_name_only(manager, crowd):
    person = crowd[0]
    assert manager.put(f"/users/{person.id}", {"name": "Zoë Ångström"}).status_code == 200
    assert [user["id"] for user in walk(manager, "&q=%C3%A5ngstr")] == [person.id]
    assert person.id not in {user["id"] for user in walk(manager, "&q=number0")}


@pytest.mark.usefixtures("matches")
@pytest.mark.databases("sqlite", "postgresql")
def test_filters_apply(manager, crowd, admin, client):
    manager.put(f"/users/{crowd[3].id}", {"name": "x", "is_active": False})
    client.register("waiting@example.com")
    assert [user["id"] for user in walk(manager, "&status=deactivated")] == [crowd[3].id]
    assert [user["email"] for user in walk(manager, "&status=unconfirmed")] == ["waiting@example.com"]
    assert len(walk(manager, "&status=active")) == 12
    assert [user["id"] for user in walk(manager, "&role=administrator")] == [admin.id]
    assert len(walk(manager, "&role=member&sort=email&q=person&status=active")) == 11
    assert (
        next(user["email"] for user in walk(manager, "&seen_before=2099-01-01T00:00:00Z&sort=last_seen_at"))
        == admin.email
    )
    assert len(walk(manager, "&seen_before=2001-01-01T00:00:00Z&status=active")) == 11


FILTERS = ["", "&status=active", "&status=deactivated", "&status=unconfirmed", "&role=member", "&q=person", "&q=a+b"]
FILTERS += ["&role=member&status=active", "&role=administrator&q=a", "&role=member&status=active&q=a"]
FILTERS += ["&status=deleted", "&seen_before=2020-01-01T00:00:00Z", "&seen_before=2099-01-01T00:00:00Z&role=member"]


@pytest.mark.parametrize("filters", FILTERS)
@pytest.mark.databases("sqlite")
def test_list_queries_use_an_index(app, manager, crowd, matches, filters):
    """SQLite's plans for all orders, first and later pages. At most two pages are sorted."""
    for sort in ("created_at", "email", "name", "last_seen_at", "-created_at", "-email", "-name", "-last_seen_at"):
        cursor = manager.get(f"/users?limit=1&sort={sort}").json["data"]["next"]
        after = "" if filters else f"&cursor={cursor}"
        with statements() as queries:
            assert manager.get(f"/users?limit=5&sort={sort}{filters}{after}").status_code == 200
        for statement, values in queries:
            plan = explained(app, statement, values)
            assert not [step for _, step in plan if step in {"SCAN users", "SCAN user_words", "SCAN user_roles"}], plan
            sorts = [parent for parent, step in plan if step == "USE TEMP B-TREE FOR ORDER BY"]
            assert matches == "few" or not any(sorts), plan


def explained(app, statement, values):
    with app.app_context(), db.engine.connect() as connection:
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all()
    return [(row.parent, row.detail) for row in rows]


@pytest.mark.databases("postgresql")
def test_postgresql_estimates_selective_filters(manager, admin):
    with statements() as queries:
        assert len(walk(manager, "&role=administrator&sort=email")) == 1
    assert "LIMIT 12)" in queries[-1][0]


@pytest.mark.parametrize("sort", ["created_at", "last_seen_at"])
@pytest.mark.parametrize("filters", FILTERS)
@pytest.mark.databases("sqlite", "postgresql")
def test_list_page_takes_at_most_three_queries(manager, crowd, sort, filters):
    with statements() as queries:
        assert manager.get(f"/users?sort={sort}{filters}").status_code == 200
    # An empty list of a role's users differs from a missing role.
    assert len([statement for statement, _ in queries if "WHERE roles.name =" not in statement]) <= 3, queries


def test_own_profile_takes_two_queries(member):
    with statements() as queries:
        assert member.get("/users/me").status_code == 200
    assert len(queries) <= 2, queries


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=ten", "limit"),
        ("sort=hashed_password", "sort"),
        ("status=asleep", "status"),
        ("page=2", "page"),
        ("limit=5&limit=6", "limit"),
        ("q=%00", "q"),
        ("fields=id,hashed_password", "fields"),
        ("fields=", "fields"),
    ],
)
def test_invalid_query_parameter_is_named(manager, query, field):
    answer = manager.get(f"/users?{query}")
    assert answer.status_code == 422
    assert {name for name, _ in codes(answer)} == {field}


def test_etag_gives_304_and_guards_changes(member, ada, clock):
    first = member.get("/users/me")
    tag = first.headers["ETag"]
    again = member.get("/users/me", headers={"If-None-Match": tag})
    assert (again.status_code, again.data) == (304, b"")
    clock.advance(minutes=6)
    assert member.get("/users/me").headers["ETag"] == tag

    assert member.put(f"/users/{ada.id}", {"name": "Ada"}, headers={"If-Match": tag}).status_code == 200
    stale = member.put(f"/users/{ada.id}", {"name": "Ada L"}, headers={"If-Match": tag})
    assert (stale.status_code, code(stale)) == (412, "precondition_failed")
    assert member.get("/users/me", headers={"If-None-Match": tag}).status_code == 200


def test_partial_response_has_the_etag_of_the_whole(member, ada):
    some = member.get("/users/me?fields=name").headers["ETag"]
    assert some != member.get("/users/me").headers["ETag"]
    assert member.put(f"/users/{ada.id}", {"name": "Ada"}, headers={"If-Match": some}).status_code == 200
    for stale in (some, f"W/{some}", "", '"', "no tag at all", 'W/"1-1"'):
        answer = member.put(f"/users/{ada.id}", {"name": "Ada"}, headers={"If-Match": stale})
        assert answer.status_code == 412, stale
    assert member.put(f"/users/{ada.id}", {"name": "Ada"}, headers={"If-Match": "*"}).status_code == 200
    tag = member.get("/users/me").headers["ETag"]
    version = "-".join(tag.split("-")[:2])
    for current in (f"W/{tag}", f'{tag[:-1]}-gzip"', f'{version}"', f'"x", W/{tag}'):
        answer = member.put(f"/users/{ada.id}", {"name": "Ada"}, headers={"If-Match": current})
        assert answer.status_code == 200, current


def test_renamed_role_changes_the_etag(app, member, ada, flask):
    with app.app_context(), unit_of_work() as work:
        clerk = work.roles.create(RoleSpec(name="clerk"), by=OPERATOR)
    flask("users", "assign", ada.email, "clerk")
    before = member.get("/users/me")
    with app.app_context(), unit_of_work() as work:
        work.roles.change(work.session.get(Role, clerk.id), RoleSpec(name="writer"), by=OPERATOR)
    after = member.get("/users/me", headers={"If-None-Match": before.headers["ETag"]})
    assert (after.status_code, "writer" in after.json["data"]["roles"]) == (200, True)


def test_forbidden_changes_are_refused(member, manager, ada, admin):
    assert member.put(f"/users/{admin.id}", {"name": "x"}).status_code == 404
    for more in ({"roles": ["administrator"]}, {"is_active": True}):
        answer = member.put(f"/users/{ada.id}", {"name": "Ada", **more})
        assert (answer.status_code, code(answer)) == (403, "forbidden")
    assert member.delete(f"/users/{ada.id}").status_code == 403
    assert codes(member.put(f"/users/{ada.id}", {"name": "Ada", "id": 7})) == {("id", "unknown_field")}
    assert codes(manager.put(f"/users/{ada.id}", {"name": "Ada", "roles": ["king"]})) == {("roles", "unknown_role")}


def test_new_address_is_only_proposed(member, ada, mailbox):
    answer = member.put(f"/users/{ada.id}", {"name": "Ada", "email": "countess@example.com"})
    assert answer.json["data"]["email"] == ada.email
    assert "/auth/confirm-email-change/" in mailbox.last_to("countess@example.com").link


@pytest.mark.databases("sqlite", "postgresql")
def test_last_administrator_cannot_be_removed(manager, admin):
    for answer in (
        manager.put(f"/users/{admin.id}", {"name": "G", "is_active": False}),
        manager.put(f"/users/{admin.id}", {"name": "G", "roles": ["member"]}),
        manager.delete(f"/users/{admin.id}"),
    ):
        assert (answer.status_code, code(answer)) == (409, "last_administrator")


def test_deletion_requires_a_recent_confirmation(manager, ada, clock):
    clock.advance(minutes=11)
    manager.take(manager.refresh())
    answer = manager.delete(f"/users/{ada.id}")
    assert (answer.status_code, code(answer)) == (403, "confirmation_required")


def test_deleted_user_is_gone_at_once(manager, member, ada):
    assert manager.delete(f"/users/{ada.id}").status_code == 200
    assert manager.get(f"/users/{ada.id}").status_code == 404
    assert member.get("/users/me").status_code == 401


def test_invited_user_sets_name_and_password(manager, mailbox, client, app):
    answer = manager.post("/users", {"email": "Bob@Example.com", "name": "Bob"})
    assert answer.status_code == 201
    user = answer.json["data"]
    assert (user["email"], user["email_verified_at"], user["roles"]) == ("bob@example.com", None, ["member"])
    assert answer.headers["Location"] == f"/api/v1/users/{user['id']}"
    again = manager.post("/users", {"email": "bob@example.com"})
    assert (again.status_code, code(again)) == (409, "email_taken")

    link = mailbox.last_to("bob@example.com").link
    page = client.get(client.get(link).location)
    assert "bob@example.com" in page.text
    assert client.open_and_send(link, {"name": "Bob", "password": "short"}).status_code == 422
    assert client.open_and_send(link, {"name": "Robert", "password": "a quieter harbour"}).status_code == 302
    assert client.get(link).status_code == 410
    assert client.login("bob@example.com", "a quieter harbour").status_code == 302
    assert client.is_signed_in()
    assert manager.get(f"/users/{user['id']}?fields=name").json["data"] == {"name": "Robert"}


def test_invitation_takes_over_an_unconfirmed_address(manager, client, mailbox):
    client.register("bob@example.com", "someone elses words")
    assert manager.post("/users", {"email": "bob@example.com"}).status_code == 201
    link = mailbox.last_to("bob@example.com").link
    assert "/auth/invitation/" in link


def test_invitation_cannot_exceed_ones_own_permissions(app, people, manager):
    with app.app_context(), unit_of_work() as work:
        role = work.roles.get("member")
        role.permissions = ["users:invite", "roles:assign"]
    inviter = Program(app).login(people.add("ivy@example.com"))
    assert inviter.post("/users", {"email": "x@example.com", "roles": ["administrator"]}).status_code == 403
    assert inviter.post("/users", {"email": "x@example.com", "roles": ["member"]}).status_code == 201
    assert codes(inviter.post("/users", {"email": "y@example.com", "roles": ["king"]})) == {("roles", "unknown_role")}


def test_cookie_request_requires_a_csrf_token(app, ada):
    browser = Browser(app)
    browser.sign_in(ada)
    path, body = f"/api/v1/users/{ada.id}", {"name": "Ada"}
    refused = browser.send("PUT", path, json=body)
    assert (refused.status_code, refused.json["errors"][0]["code"]) == (403, "csrf")
    token = browser.token_on("/account")
    assert browser.send("PUT", path, json=body, headers={"X-CSRFToken": token}).status_code == 200
    elsewhere = {"X-CSRFToken": token, "Origin": "https://evil.test"}
    assert browser.send("PUT", path, json=body, headers=elsewhere).status_code == 403


BODIES = [
    (b"", "application/json", 400),
    (b"{", "application/json", 400),
    (b"[]", "application/json", 422),
    (b'"text"', "application/json", 422),
    (b"null", "application/json", 422),
    (b'{"name": "a", "name": "b"}', "application/json", 400),
    (b'{"name": NaN}', "application/json", 400),
    (b'{"name": "\xff"}', "application/json", 400),
    (b"[" * 30000, "application/json", 400),
    (b'{"name": ' + b"[" * 5000 + b"]" * 5000 + b"}", "application/json", 400),
    (b'{"name": ' + b"9" * 5000 + b"}", "application/json", 400),
    (b'{"name": 9223372036854775808}', "application/json", 422),
    (b'{"name": 1}', "application/json", 422),
    (b'{"name": "\\ud800"}', "application/json", 422),
    (b'{"name": "\\u0000"}', "application/json", 422),
    (b'{"name": "' + b"a" * 101 + b'"}', "application/json", 422),
    (b"{}", "application/json", 422),
    (b'{"name": "a"}', "text/plain", 415),
    (b"name=a", "application/x-www-form-urlencoded", 415),
    (b'{"name": "' + b"a" * 70000 + b'"}', "application/json", 413),
]


@pytest.mark.parametrize("number", range(len(BODIES)))
def test_unusable_body_is_refused_clearly(member, ada, number):
    body, kind, status = BODIES[number]
    answer = member.put(f"/users/{ada.id}", data=body, headers={"Content-Type": kind})
    assert answer.status_code == status, answer.text


def test_every_refusal_has_the_error_body(member, app):
    assert member.get("/nowhere").status_code == 404
    for nobody in ("9223372036854775808", "0", "007", "-1"):
        assert member.get(f"/users/{nobody}").status_code == 404
        assert member.delete(f"/users/{nobody}").status_code == 404
    assert member.send("PATCH", "/users/me").status_code == 405
    assert member.get("/users/me", base_url="http://evil.test").status_code == 400


def test_long_list_is_compressed_on_request(manager, crowd):
    plain = manager.get("/users")
    packed = manager.get("/users", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in packed.headers["Vary"]
    assert json.loads(gzip.decompress(packed.data)) == plain.json
    assert "Content-Encoding" not in manager.get("/users", headers={"Accept-Encoding": "gzip;q=0"}).headers
    me = manager.get("/users/me", headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in me.headers


@pytest.mark.settings(cors_origins=["https://app.example.com", "https://www.example.com"])
def test_listed_origins_may_call_the_api(app, member):
    preflight = Program(app).send(
        "OPTIONS",
        "/users/me",
        headers={
            "Origin": "https://app.example.com",
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "authorization",
        },
    )
    assert preflight.status_code == 200
    assert preflight.headers["Access-Control-Allow-Origin"] == "https://app.example.com"
    assert "authorization" in preflight.headers["Access-Control-Allow-Headers"].lower()
    answer = member.get("/users/me", headers={"Origin": "https://app.example.com"})
    assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example.com"
    assert "Origin" in answer.headers["Vary"]
    other = member.get("/users/me", headers={"Origin": "https://evil.test"})
    assert "Access-Control-Allow-Origin" not in other.headers


@pytest.mark.settings(cors_origins=["https://[2001:db8::1]", "https://app.example.com:8443"])
def test_origins_are_compared_exactly(member):
    def allowed(origin):
        return member.get("/users/me", headers={"Origin": origin}).headers.get("Access-Control-Allow-Origin")

    for origin in ("https://[2001:db8::1]", "https://app.example.com:8443"):
        assert allowed(origin) == origin
    for other in (
        "https://bad-guys.example",
        "https://2.evil.example",
        "https://d",
        "https://app.example.com",
        "https://app.example.com:84433",
        "https://app.example.com:8443.evil.example",
        "https://appXexample.com:8443",
        "null",
    ):
        assert allowed(other) is None, other


@pytest.mark.settings(cors_origins=["*"])
def test_wildcard_origin_never_allows_credentials(member):
    answer = member.get("/users/me", headers={"Origin": "https://anywhere.test"})
    assert "Access-Control-Allow-Credentials" not in answer.headers


def test_invitation_link_serves_no_other_purpose(manager, mailbox, client, app):
    manager.post("/users", {"email": "bob@example.com"})
    token = mailbox.last_to("bob@example.com").link.rsplit("/", 1)[-1]
    for purpose in set(Purpose) - {Purpose.INVITATION}:
        path = {"verify_email": "verify-email", "reset_password": "reset-password"}.get(purpose)
        if path:
            assert client.get(f"/auth/{path}/{token}").status_code == 410


def test_deletion_is_undone(manager, member, ada, clock):
    assert code(manager.post(f"/users/{ada.id}/restore")) == "not_found"
    manager.delete(f"/users/{ada.id}")
    assert [user["id"] for user in walk(manager, "&status=deleted")] == [ada.id]
    assert ada.id not in {user["id"] for user in walk(manager, "")}
    assert code(manager.put(f"/users/{ada.id}", {"name": "x"})) == "not_found"
    assert codes(manager.post("/users", {"email": ada.email})) == {(None, "email_taken")}

    restored = manager.post(f"/users/{ada.id}/restore")
    assert (restored.status_code, restored.json["data"]["is_active"]) == (200, True)
    assert member.get("/users/me").status_code == 401
    assert member.login(ada).get("/users/me").status_code == 200


def test_deactivation_has_a_reason_and_an_end(manager, ada, mailbox, clock):
    def put(**more):
        return manager.put(f"/users/{ada.id}", {"name": "Ada", "is_active": False, **more})

    assert codes(put(deactivated_until="2001-01-01T00:00:00Z")) == {("deactivated_until", "in_the_past")}
    assert codes(put(deactivation_reason="  ")) == {("deactivation_reason", "invalid")}
    assert put(deactivation_reason="On leave.", deactivated_until="2099-01-01T00:00:00Z").status_code == 200
    assert "On leave." in mailbox.last_to(ada.email).text
    assert "1 Jan 2099" in mailbox.last_to(ada.email).text
    assert put().status_code == 200
    assert len(mailbox.to(ada.email)) == 1


def test_support_endpoints_send_links_and_end_sessions(manager, member, ada, mailbox, client):
    assert manager.delete(f"/users/{ada.id}/sessions").status_code == 200
    assert member.get("/users/me").status_code == 401
    assert manager.post(f"/users/{ada.id}/password-reset").status_code == 202
    assert "/auth/reset-password/" in mailbox.last_to(ada.email).link
    confirmed = manager.post(f"/users/{ada.id}/verification")
    assert (confirmed.status_code, code(confirmed)) == (409, "already_confirmed")
    manager.put(f"/users/{ada.id}", {"name": "Ada", "is_active": False})
    refused = manager.post(f"/users/{ada.id}/password-reset")
    assert (refused.status_code, code(refused)) == (409, "not_active")
    client.register("new@example.com")
    (new,) = walk(manager, "&status=unconfirmed")
    assert manager.post(f"/users/{new['id']}/verification").status_code == 202


def test_support_requires_the_permission_and_a_weaker_user(app, people, admin, member, ada):
    helper = Program(app).login(people.add("mary@example.com", roles=("manager",)))
    for method, path in (
        ("DELETE", "sessions"),
        ("POST", "password-reset"),
        ("POST", "verification"),
        ("POST", "restore"),
    ):
        assert member.send(method, f"/users/{admin.id}/{path}").status_code == 403
        assert helper.send(method, f"/users/{admin.id}/{path}").status_code == 403
    assert helper.delete(f"/users/{ada.id}/sessions").status_code == 200


def test_patch_changes_only_the_given_fields(app, manager, ada):
    path = f"/users/{ada.id}"
    before = manager.get(path).json["data"]
    assert manager.put(path, {"is_active": False}).status_code == 422
    changed = manager.send("PATCH", path, {"is_active": False, "deactivation_reason": "Left."})
    assert changed.status_code == 200, changed.text
    after = manager.get(path)
    assert (after.json["data"]["is_active"], after.json["data"]["name"]) == (False, before["name"])
    assert manager.send("PATCH", path, {}, headers={"If-Match": after.headers["ETag"]}).status_code == 200
    assert manager.send("PATCH", path, {"name": "Ada King"}, headers={"If-Match": '"1-0"'}).status_code == 412
    assert manager.send("PATCH", path, {"nothing": 1}).status_code == 422


def test_unknown_role_is_named_and_an_empty_list_refused(manager):
    assert codes(manager.get("/users?role=nobody")) == {("role", "unknown_role")}
    assert manager.get("/users?role=member").status_code == 200


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b'{"name": "x",}', "line 1, column 1"),
        (b'{"name":\n "x"', "line 2, column 5"),
        (b"[" * 10_000, "nested too deeply"),
        (b'{"name": "\xff"}', "not UTF-8"),
        (b'{"name": 1, "name": 2}', "duplicate name"),
        (b'{"name": NaN}', "NaN is not valid JSON"),
    ],
)
def test_invalid_json_is_reported_with_its_position(member, ada, body, where):
    answer = member.send("PUT", f"/users/{ada.id}", data=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, where in answer.json["message"]) == (400, True), answer.text


def test_byte_order_mark_is_accepted(member, ada):
    body = '\ufeff{"name": "Ada King"}'.encode()
    answer = member.send("PUT", f"/users/{ada.id}", data=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 200


@pytest.mark.databases("sqlite")
def test_unencoded_plus_in_a_query_is_reported(manager):
    lost = manager.get("/users?seen_before=2026-01-01T00:00:00+01:00")
    assert lost.status_code == 422
    assert "%2B" in lost.json["errors"][0]["message"]
    assert manager.get("/users?seen_before=2026-01-01T00:00:00%2B01:00").status_code == 200
    assert "%2B" not in manager.get("/users?seen_before=yesterday").json["errors"][0]["message"]
