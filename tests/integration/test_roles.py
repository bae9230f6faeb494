"""Role pages: who sees and changes them, and that changes apply at once."""

import pytest

from app.core.principal import OPERATOR
from app.unit_of_work import reading, unit_of_work
from app.users.permissions import PERMISSIONS, ROLES_EDIT, ROLES_READ, USERS_DELETE, USERS_READ
from app.users.services.roles import RoleSpec
from tests.support.pages import Page

# Tests of the service, commands and API use both databases.
pytestmark = pytest.mark.databases("sqlite")


@pytest.fixture
def grace(client, admin):
    """An administrator's browser."""
    client.sign_in(admin)
    return client


@pytest.fixture
def make_role(app):
    """Create a role with these permissions; return its ID."""

    def make(name, *permissions):
        with app.app_context(), unit_of_work() as work:
            return work.roles.create(RoleSpec(name=name, permissions=frozenset(permissions)), by=OPERATOR).id

    return make


def stored(app, name):
    with app.app_context():
        return reading().roles.get(name)


def test_member_cannot_see_roles(signed_in, make_role):
    role_id = make_role("clerk")
    for path in ("/admin/roles", "/admin/roles/new", f"/admin/roles/{role_id}", f"/admin/roles/{role_id}/edit"):
        assert signed_in.get(path).status_code == 403
    assert signed_in.post(f"/admin/roles/{role_id}/delete", {}, page="/account").status_code == 403
    assert not signed_in.page("/account").has('nav a[href="/admin/roles"]')


def test_roles_are_listed_with_their_number_of_users(grace, ada):
    page = grace.page("/admin/roles")

    assert page.texts("tbody th a") == ["administrator", "manager", "member"]
    assert page.texts('td[data-label="Users"]') == ["1", "0", "1"]
    assert page.texts('td[data-label="Permissions"]')[0] == "All"
    assert page.has('nav a[href="/admin/roles"][aria-current]')


def test_role_is_created_with_permissions_and_lists_its_users(grace, app, people):
    sent = {"name": "clerk", "description": "Invites  people.", "permissions": [USERS_READ, ROLES_READ]}
    answer = grace.post("/admin/roles/new", sent)
    assert answer.status_code == 302
    people.add("bob@example.com", name="Bob Builder", roles=("clerk",))

    text = grace.page(answer.location).text("main")

    assert stored(app, "clerk").permissions == [ROLES_READ, USERS_READ]
    for part in ("Role clerk created.", "Invites people.", PERMISSIONS[USERS_READ], "Bob Builder"):
        assert part in text
    assert PERMISSIONS[USERS_DELETE] not in text


@pytest.mark.parametrize(
    ("sent", "problem"),
    [
        ({"name": ""}, "Enter a name for the role."),
        ({"name": "Two Words"}, "Use 1 to 64 lowercase letters"),
        ({"name": "member"}, "A role with this name already exists."),
        ({"name": "administrator"}, "can't be changed"),
        ({"name": "x", "description": "y" * 201}, "at most 200 characters"),
        ({"name": "x", "permissions": ["ships:sink"]}, "is not a valid choice"),
        ({"name": "x", "permissions": ["*"]}, "is not a valid choice"),
    ],
)
def test_refused_role_keeps_input(grace, sent, problem):
    refused = grace.post("/admin/roles/new", {"description": "for later", **sent})

    page = Page(refused.text)
    assert refused.status_code == 422
    assert problem in page.text(".summary")
    assert page.value("name") == sent["name"]
    assert page.value("description") == sent.get("description", "for later")


def test_changed_role_applies_on_the_next_request(grace, new_browser, people, make_role):
    role_id = make_role("clerk", USERS_READ)
    browser = new_browser()
    browser.sign_in(people.add("bob@example.com", roles=("clerk",)))
    assert browser.get("/users").status_code == 200

    form = grace.page(f"/admin/roles/{role_id}/edit")
    assert form.has(f'input[value="{USERS_READ}"][checked]')
    grace.post(f"/admin/roles/{role_id}/edit", {"name": "clerk", "version": form.value("version")})
    assert browser.get("/users").status_code == 403

    form = grace.page(f"/admin/roles/{role_id}/edit")
    sent = {"name": "clerk", "requires_second_factor": "y", "version": form.value("version")}
    saved = grace.post(f"/admin/roles/{role_id}/edit", sent)
    assert "Requires a second factor." in grace.page(saved.location).text("main")
    assert browser.get("/users").location == "/account/security"


def test_concurrent_edits_do_not_overwrite_each_other(grace, app, make_role):
    role_id = make_role("clerk")
    form = {"name": "clerk", "version": "1"}
    assert grace.post(f"/admin/roles/{role_id}/edit", {**form, "description": "first"}).status_code == 302

    second = grace.post(f"/admin/roles/{role_id}/edit", {**form, "description": "second"})

    assert (second.status_code, "Someone else changed this role" in second.text) == (422, True)
    assert Page(second.text).value("description") == "second"
    assert stored(app, "clerk").description == "first"


def test_administrator_role_keeps_its_name_and_permissions(grace, app):
    role = stored(app, "administrator")
    path = f"/admin/roles/{role.id}/edit"
    page = grace.page(path)
    assert not page.has('[name="name"]')
    assert not page.has('[name="permissions"]')

    sent = {"name": "boss", "permissions": [], "description": "All of it.", "version": str(role.version)}
    assert grace.post(path, sent).status_code == 302

    kept = stored(app, "administrator")
    assert (kept.permissions, kept.description) == (["*"], "All of it.")
    for name in ("administrator", "member"):
        refused = grace.post(f"/admin/roles/{stored(app, name).id}/delete", {}, page="/admin/roles")
        assert "cannot be deleted" in grace.page(refused.location).text("main")


def test_only_unassigned_roles_are_deleted(grace, app, people, make_role, flask):
    role_id = make_role("clerk")
    people.add("bob@example.com", roles=("clerk",))
    refused = grace.post(f"/admin/roles/{role_id}/delete", {}, page=f"/admin/roles/{role_id}")
    assert "This role is assigned to users" in grace.page(refused.location).text('[role="alert"]')

    flask("users", "unassign", "bob@example.com", "clerk")
    assert grace.post(f"/admin/roles/{role_id}/delete", {}, page=f"/admin/roles/{role_id}").location == "/admin/roles"
    assert grace.get(f"/admin/roles/{role_id}").status_code == 404


def test_editor_grants_own_permissions_and_cannot_edit_wider_roles(client, app, people, make_role):
    make_role("editor", ROLES_READ, ROLES_EDIT)
    wide = make_role("wide", USERS_DELETE)
    client.sign_in(people.add("ed@example.com", roles=("editor",)))

    form = client.page("/admin/roles/new")
    assert form.has(f'input[value="{ROLES_READ}"]')
    assert not form.has(f'input[value="{USERS_DELETE}"]')
    assert client.post("/admin/roles/new", {"name": "x", "permissions": [USERS_DELETE]}).status_code == 422
    refused = client.get(f"/admin/roles/{wide}/edit")
    assert (refused.status_code, "You also need users:delete." in refused.text) == (403, True)
    assert client.post(f"/admin/roles/{wide}/delete", {}, page="/admin/roles").status_code == 403
    page = client.page(f"/admin/roles/{wide}")
    assert not page.has("main form")
    assert not page.has("#holders")
