"""Confirmation of sensitive changes, and how a program confirms; above all, assigning roles."""

import io

import pytest
from sqlalchemy import select

from app.audit.models import AuditEvent
from app.core.extensions import db
from app.core.principal import OPERATOR
from app.imports.models import UserImportRow
from app.invitations.models import Invitation
from app.invitations.service import Invitations
from app.unit_of_work import unit_of_work
from app.users.models import User
from app.users.permissions import USERS_EDIT
from app.users.services.roles import RoleSpec
from tests.support.authenticator import set_up
from tests.support.browser import Browser
from tests.support.deleted import needs
from tests.support.mailbox import work_off
from tests.support.program import Program, code

pytestmark = pytest.mark.databases("sqlite")

LATER = {"minutes": 11}


@pytest.fixture
def grace(client, admin):
    client.sign_in(admin)
    return client


@pytest.fixture
def program(app, admin):
    return Program(app).login(admin)


def roles_of(app, person):
    with app.app_context():
        return sorted(role.name for role in db.session.get(User, person.id).roles)


def is_refused(answer):
    return (answer.status_code, code(answer)) == (403, "confirmation_required")


# ── assigning roles ──


def test_stale_session_cannot_assign_a_role_on_any_page(app, grace, ada, clock):
    clock.advance(**LATER)
    version = grace.page(f"/users/{ada.id}/edit").value("version")
    edit = {"name": "Ada", "email": ada.email, "version": version, "roles": ["administrator"]}
    for path, sent in (
        ("/users/new", {"email": "x@example.com", "roles": ["administrator"]}),
        (f"/users/{ada.id}/edit", edit),
        ("/users/bulk", {"act": "assign:administrator", "users": [ada.id], "go": "y"}),
        ("/admin/roles/new", {"name": "clerk", "permissions": ["users:read"]}),
    ):
        assert grace.post(path, sent).location.startswith("/auth/confirm"), path
    assert roles_of(app, ada) == ["member"]
    with app.app_context():
        assert db.session.scalars(select(Invitation)).all() == []


def test_pages_offer_roles_only_after_confirmation(app, grace, admin, ada, clock):
    clock.advance(**LATER)
    edit = f"/users/{ada.id}/edit"
    for path in (edit, "/users/new"):
        page = grace.page(path)
        assert not page.has('[name="roles"]')
        assert page.has(f'a[href="/auth/confirm?next={path}"]')

    version = grace.page(edit).value("version")
    assert grace.post(edit, {"name": "Ada King", "email": ada.email, "version": version}).location == f"/users/{ada.id}"
    assert roles_of(app, ada) == ["member"]
    assert grace.post("/users/new", {"email": "x@example.com"}).location == "/users/invitations"

    grace.confirm(admin.password)
    assert grace.page(edit).has('[name="roles"]')
    assert grace.page("/users/new").has('[name="roles"]')


def test_stale_token_cannot_assign_a_role_and_a_confirmed_one_can(app, program, admin, ada, clock):
    clock.advance(**LATER)
    program.refresh_token and program.take(program.refresh())
    for refused in (
        program.put(f"/users/{ada.id}", {"name": "Ada", "roles": ["member", "manager"]}),
        program.post("/users", {"email": "x@example.com", "roles": ["manager"]}),
        program.post("/roles", {"name": "clerk", "permissions": ["users:read"]}),
        program.put(f"/users/{ada.id}", {"name": "Ada", "email": "new@example.com"}),
    ):
        assert is_refused(refused), refused.text
    assert program.put(f"/users/{ada.id}", {"name": "Ada King"}).status_code == 200
    assert program.post("/users", {"email": "y@example.com"}).status_code == 201

    assert program.post("/auth/confirm", {"password": admin.password}).status_code == 200
    assert program.put(f"/users/{ada.id}", {"name": "Ada", "roles": ["member", "manager"]}).status_code == 200
    assert roles_of(app, ada) == ["manager", "member"]


def test_import_that_assigns_roles_asks_for_confirmation_at_its_start(app, grace, admin, program, clock):
    def checked(lines):
        file = (io.BytesIO(lines.encode()), "people.csv")
        page = grace.post("/users/import", {"file": file}, content_type="multipart/form-data").location
        work_off(app)
        return page

    plain, roles = checked("email,roles\na@example.com,member\n"), checked("email,roles\nb@example.com,manager\n")
    clock.advance(**LATER)
    program.take(program.refresh())
    assert grace.post(f"{plain}/start", page=plain).location == plain
    assert grace.post(f"{roles}/start", page=roles).location.startswith("/auth/confirm")
    assert is_refused(program.post(f"{roles.replace('/import/', '/imports/')}/start", {}))
    grace.confirm(admin.password)
    assert grace.post(f"{roles}/start", page=roles).location == roles
    clock.advance(**LATER)
    work_off(app)
    with app.app_context():
        created = db.session.scalars(select(User.email).where(User.email.in_(["a@example.com", "b@example.com"])))
        assert sorted(created) == ["a@example.com", "b@example.com"]


def test_import_by_a_key_assigns_the_default_role_only_and_ignores_grants(app, admin, people, program):
    """Even if the file was uploaded in a browser."""
    needs("imports")
    role = RoleSpec(name="clerk", permissions=frozenset({"users:read", "users:import", "users:invite", "roles:assign"}))
    with app.app_context(), unit_of_work() as work:
        work.roles.create(role, by=OPERATOR)
    clerk = people.add("clerk@example.com", roles=("clerk",))
    bob = people.add("bob@example.com", name="Bob")
    with app.app_context(), unit_of_work() as work:
        work.policy.grant(clerk.id, USERS_EDIT, work.users.get(bob.id), by=OPERATOR)
    person = Program(app).login(clerk)
    answer = person.post("/api-keys", {"name": "x", "scopes": sorted(role.permissions)})
    key = Program(app, token=answer.json["data"]["key"])
    rows = b"email,name,roles\nbob@example.com,Robert,\nc@example.com,,clerk\nd@example.com,,member\n"
    for uploader in (person, key):
        sent = uploader.send("POST", "/users/imports", data=rows, headers={"Content-Type": "text/csv"})
        import_id = sent.json["data"]["id"]
        work_off(app)
        if uploader is person:
            assert outcomes(app, import_id) == {2: "changed", 3: "new", 4: "new"}
        assert key.post(f"/users/imports/{import_id}/start", {}).status_code == 202
        work_off(app)
        assert outcomes(app, import_id) == {
            2: "refused",
            3: "refused",
            4: "added" if uploader is person else "unchanged",
        }


def outcomes(app, import_id):
    with app.app_context():
        rows = select(UserImportRow.number, UserImportRow.outcome).where(UserImportRow.import_id == import_id)
        return dict(db.session.execute(rows).all())


# ── POST /api/v1/auth/confirm ──


def test_wrong_password_is_refused_and_counted(program, admin, clock):
    clock.advance(**LATER)
    program.take(program.refresh())
    for _ in range(5):
        wrong = program.post("/auth/confirm", {"password": "not the password"})
        assert (wrong.status_code, code(wrong)) == (401, "wrong_password")
    assert program.post("/auth/confirm", {"password": admin.password}).status_code == 429
    clock.advance(minutes=1)
    missing = program.post("/auth/confirm", {})
    assert (missing.status_code, code(missing)) == (401, "wrong_password")
    clock.advance(minutes=1)
    assert program.post("/auth/confirm", {"password": admin.password}).status_code == 200


def test_second_factor_is_required_where_set_up(app, program, admin, ada, clock):
    browser = Browser(app)
    browser.sign_in(admin)
    phone, codes = set_up(browser, clock)
    sent = {"email": admin.email, "password": admin.password, "code": phone.code()}
    program.take(Program(app).post("/auth/login", sent))
    clock.advance(**LATER)
    program.take(program.refresh())
    answer = program.post("/auth/confirm", {"password": admin.password})
    assert (answer.status_code, code(answer)) == (401, "two_factor_required")
    assert program.post("/auth/confirm", {"code": phone.wrong()}).status_code == 401
    assert is_refused(program.put(f"/users/{ada.id}", {"name": "Ada", "roles": ["manager"]}))
    assert program.post("/auth/confirm", {"code": codes[0]}).status_code == 200
    assert program.put(f"/users/{ada.id}", {"name": "Ada", "roles": ["manager"]}).status_code == 200


def test_browser_cookie_confirms_through_the_api_and_stays_signed_in(grace, admin, ada, clock):
    clock.advance(**LATER)
    headers = {"X-CSRFToken": grace.token()}
    answer = grace.send("POST", "/api/v1/auth/confirm", json={"password": admin.password}, headers=headers)
    assert answer.status_code == 200, answer.text
    assert grace.page(f"/users/{ada.id}/edit").has('[name="roles"]')


# ── roles for administrators only ──


@pytest.fixture
def reserved(app, people):
    """A role without permissions for administrators only, and a user who may assign and edit roles."""
    with app.app_context(), unit_of_work() as work:
        work.roles.create(RoleSpec(name="wiki", administrators_only=True), by=OPERATOR)
        held = frozenset({"users:read", "users:edit", "users:invite", "roles:assign", "roles:read", "roles:edit"})
        work.roles.create(RoleSpec(name="helper", permissions=held), by=OPERATOR)
        role_id = work.roles.get("wiki").id
    return people.add("helper@example.com", roles=("helper",)), role_id


def test_only_administrators_assign_remove_or_change_restricted_roles(app, grace, reserved, ada, program):
    helper, role_id = reserved
    browser, other = Browser(app), Program(app).login(helper)
    browser.sign_in(helper)
    assert "wiki" not in browser.get(f"/users/{ada.id}/edit").text
    assert "wiki" not in browser.get("/users/new").text
    assert browser.get(f"/admin/roles/{role_id}/edit").status_code == 403
    for refused in (
        other.put(f"/users/{ada.id}", {"name": "Ada", "roles": ["member", "wiki"]}),
        other.post("/users", {"email": "x@example.com", "roles": ["wiki"]}),
        other.put(f"/roles/{role_id}", {"administrators_only": False}),
        other.delete(f"/roles/{role_id}"),
        other.post("/roles", {"name": "clerk", "administrators_only": True}),
    ):
        assert (refused.status_code, code(refused)) == (403, "forbidden"), refused.text

    assert "wiki" in grace.get(f"/users/{ada.id}/edit").text
    assert "Only administrators can assign it." in grace.get(f"/admin/roles/{role_id}").text
    assert program.put(f"/users/{ada.id}", {"name": "Ada", "roles": ["member", "wiki"]}).status_code == 200
    assert other.put(f"/users/{ada.id}", {"name": "Ada", "roles": ["member"]}).status_code == 403
    assert roles_of(app, ada) == ["member", "wiki"]


def test_refused_rank_is_recorded(app, reserved, ada):
    other = Program(app).login(reserved[0])
    assert other.put(f"/users/{ada.id}", {"name": "Ada", "roles": ["administrator"]}).status_code == 403
    with app.app_context():
        refused = select(AuditEvent.subject_id).where(AuditEvent.kind == "access.refused")
        assert db.session.scalars(refused).all() == [reserved[0].id]


# ── rank of a pending account ──


def test_account_with_promised_wider_roles_is_protected(app, people, admin):
    with app.app_context(), unit_of_work() as work:
        invited = work[Invitations].invite(email="boss@example.com", name="Boss", roles=["administrator"], by=OPERATOR)
        user_id = invited.user_id
    mary = people.add("mary@example.com", roles=("manager",))
    browser, program = Browser(app), Program(app).login(mary)
    browser.sign_in(mary)
    for path in ("deactivate", "edit"):
        assert browser.get(f"/users/{user_id}/{path}").status_code == 403, path
    for path in ("send-confirmation", "send-reset", "end-sessions"):
        assert browser.post(f"/users/{user_id}/{path}").status_code == 403, path
    assert program.put(f"/users/{user_id}", {"name": "x"}).status_code == 403
    with app.app_context():
        assert db.session.scalars(select(Invitation.user_id)).all() == [user_id]
        assert db.session.get(User, user_id).is_active
