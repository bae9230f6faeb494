"""Roles through the API, and access decisions."""

import pytest

from app.users.permissions import PERMISSIONS
from tests.support.program import Program, code, codes

FIELDS = {"id", "name", "description", "permissions", "requires_second_factor", "administrators_only", "created_at"}


@pytest.fixture
def root(app, admin):
    return Program(app).login(admin)


@pytest.fixture
def member(app, ada):
    return Program(app).login(ada)


@pytest.fixture
def clerk(root):
    """Return a role as the API represents it."""
    return root.post("/roles", {"name": "clerk", "permissions": ["users:read", "roles:read"]}).json["data"]


def test_roles_are_listed_in_pages(root):
    first = root.get("/roles?limit=2").json["data"]
    second = root.get(f"/roles?limit=2&cursor={first['next']}").json["data"]
    roles = first["items"] + second["items"]
    assert [role["name"] for role in roles] == ["administrator", "member", "manager"]
    assert set(roles[0]) == FIELDS
    assert roles[0]["permissions"] == sorted(PERMISSIONS)
    assert second["next"] is None


def test_role_is_created_shown_changed_and_deleted(root, clerk):
    path = f"/roles/{clerk['id']}"
    shown = root.get(path)
    assert shown.json["data"] == clerk
    assert clerk["permissions"] == ["roles:read", "users:read"]
    assert root.get(path, headers={"If-None-Match": shown.headers["ETag"]}).status_code == 304

    guard = {"If-Match": shown.headers["ETag"]}
    changed = root.put(path, {"permissions": ["users:read"], "requires_second_factor": True}, headers=guard)
    assert changed.json["data"] | {"created_at": None} == {
        **clerk, "permissions": ["users:read"], "requires_second_factor": True, "created_at": None,
    }  # fmt: skip
    stale = root.put(path, {"name": "other"}, headers=guard)
    assert (stale.status_code, code(stale)) == (412, "precondition_failed")
    assert root.delete(path, headers=guard).status_code == 412

    assert root.delete(path).status_code == 200
    assert root.get(path).status_code == 404


def test_role_permissions_apply_on_the_next_request(root, member, ada, clerk):
    assert member.get("/users").status_code == 403
    root.put(f"/users/{ada.id}", {"name": "Ada", "roles": ["member", "clerk"]})
    assert member.get("/users").status_code == 200
    root.put(f"/roles/{clerk['id']}", {"permissions": []})
    assert member.get("/users").status_code == 403


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({}, ("name", "required")),
        ({"name": "Two Words"}, ("name", "invalid_characters")),
        ({"name": "x", "permissions": ["*"]}, ("permissions.0", "invalid")),
        ({"name": "x", "permissions": ["ships:sink"]}, ("permissions.0", "invalid")),
        ({"name": "x", "description": "a\nb"}, ("description", "invalid")),
        ({"name": "x", "id": 1}, ("id", "unknown_field")),
        ({"name": "x", "version": 7}, ("version", "unknown_field")),
    ],
)
def test_invalid_role_is_refused_with_the_field(root, body, problem):
    answer = root.post("/roles", body)
    assert (answer.status_code, codes(answer)) == (422, {problem})


def test_administrator_role_and_assigned_roles_cannot_be_deleted(root, clerk, ada):
    ids = {role["name"]: role["id"] for role in root.get("/roles").json["data"]["items"]}
    root.put(f"/users/{ada.id}", {"name": "Ada", "roles": ["clerk"]})
    for answer, why in (
        (root.put(f"/roles/{ids['administrator']}", {"permissions": []}), "role_fixed"),
        (root.put(f"/roles/{ids['administrator']}", {"name": "boss"}), "role_fixed"),
        (root.delete(f"/roles/{ids['administrator']}"), "role_fixed"),
        (root.delete(f"/roles/{ids['member']}"), "role_fixed"),
        (root.delete(f"/roles/{ids['clerk']}"), "role_in_use"),
        (root.post("/roles", {"name": "clerk"}), "role_taken"),
        (root.put(f"/roles/{ids['manager']}", {"name": "clerk"}), "role_taken"),
    ):
        assert (answer.status_code, code(answer)) == (409, why)
    assert root.put(f"/roles/{ids['administrator']}", {"permissions": sorted(PERMISSIONS)}).status_code == 200


def test_roles_cannot_exceed_ones_own_permissions(app, root, people, clerk):
    root.post("/roles", {"name": "editor", "permissions": ["roles:read", "roles:edit"]})
    editor = Program(app).login(people.add("ed@example.com", roles=("editor",)))
    for answer in (
        editor.post("/roles", {"name": "wide", "permissions": ["users:delete"]}),
        editor.put(f"/roles/{clerk['id']}", {"permissions": []}),
        editor.delete(f"/roles/{clerk['id']}"),
    ):
        assert (answer.status_code, code(answer)) == (403, "forbidden")
        assert "You also need users:" in answer.json["message"]
    assert editor.post("/roles", {"name": "narrow", "permissions": ["roles:read"]}).status_code == 201


def test_roles_are_hidden_without_the_permission(member, clerk):
    for answer in (
        member.get("/roles"),
        member.get(f"/roles/{clerk['id']}"),
        member.post("/roles", {"name": "x"}),
        member.put(f"/roles/{clerk['id']}", {"name": "x"}),
        member.delete(f"/roles/{clerk['id']}"),
        member.get("/users/1/access?action=users:read"),
    ):
        assert (answer.status_code, code(answer)) == (403, "forbidden")


def test_changing_a_role_requires_a_recent_confirmation(root, clerk, clock):
    clock.advance(minutes=11)
    root.take(root.refresh())
    for answer in (root.post("/roles", {"name": "x"}), root.delete(f"/roles/{clerk['id']}")):
        assert (answer.status_code, code(answer)) == (403, "confirmation_required")


def test_api_explains_an_access_decision(root, ada, admin):
    def asked(query):
        return root.get(f"/users/{ada.id}/access?{query}")

    own, other = f"users:{ada.id}", f"users:{admin.id}"
    assert asked("action=users:edit").json["data"] == {
        "allowed": False, "rule": "permission", "reason": "The permission users:edit is not held.",
    }  # fmt: skip
    assert asked(f"action=users:edit&resource={own}").json["data"]["rule"] == "ownership"
    assert asked(f"action=users:edit&resource={other}").json["data"]["allowed"] is False
    assert asked("action=users:edit&resource=users:999999999").status_code == 404
    assert asked("action=users:edit&resource=ships:1").status_code == 404
    assert codes(asked("action=ships:sink")) == {("action", "invalid")}
    assert codes(asked("resource=x")) == {("action", "required"), ("resource", "invalid_characters")}
