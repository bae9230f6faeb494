from dataclasses import replace

import pytest

from app.audit.models import AuditEvent
from app.core.errors import (
    EditConflict,
    InvalidRole,
    LastAdministrator,
    NotAllowed,
    RoleFixed,
    RoleInUse,
    RoleNotFound,
    RoleTaken,
)
from app.core.principal import OPERATOR
from app.users.models import ADMINISTRATOR, MEMBER
from app.users.permissions import EVERYTHING, PERMISSIONS, USERS_EDIT, USERS_READ, granted, permission
from app.users.services import roles as roles_module
from app.users.services.roles import RoleSpec, spec_of
from tests.unit.conftest import add_user, principal_of


@pytest.fixture
def admin(session, roles, clock):
    admin = add_user(session, "grace@example.com", at=clock.now)
    roles.assign(admin, ADMINISTRATOR, by=OPERATOR)
    return admin


def test_role_is_assigned_once_and_removed_once(roles, ada):
    for _ in range(2):
        roles.assign(ada, MEMBER, by=OPERATOR)
    assert [role.name for role in ada.roles] == [MEMBER]

    for _ in range(2):
        roles.unassign(ada, MEMBER, by=OPERATOR)
    assert ada.roles == []


def test_unknown_role_is_named_with_the_existing_ones(roles, ada):
    with pytest.raises(RoleNotFound, match=r"There is no role 'wizard'; there are administrator, member\."):
        roles.assign(ada, "wizard", by=OPERATOR)


def test_last_administrator_cannot_be_removed(roles, admin):
    with pytest.raises(LastAdministrator):
        roles.unassign(admin, ADMINISTRATOR, by=OPERATOR)

    assert [role.name for role in admin.roles] == [ADMINISTRATOR]


def test_one_of_two_administrators_can_be_removed(roles, admin, ada):
    roles.assign(ada, ADMINISTRATOR, by=OPERATOR)

    roles.unassign(admin, ADMINISTRATOR, by=OPERATOR)

    with pytest.raises(LastAdministrator):
        roles.unassign(ada, ADMINISTRATOR, by=OPERATOR)


@pytest.mark.parametrize("lacks", ["is_active", "is_verified"])
def test_administrator_who_cannot_sign_in_does_not_count(roles, admin, session, clock, lacks):
    other = add_user(session, "other@example.com", at=clock.now, is_verified=lacks != "is_verified")
    roles.assign(other, ADMINISTRATOR, by=OPERATOR)
    if lacks == "is_active":
        other.deactivate(reason="left", at=clock.now)
    session.flush()

    with pytest.raises(LastAdministrator):
        roles.unassign(admin, ADMINISTRATOR, by=OPERATOR)
    roles.unassign(other, ADMINISTRATOR, by=OPERATOR)


def test_non_administrator_can_always_be_removed(roles, admin, ada):
    roles.keep_one_administrator(losing=ada)


def test_users_of_a_role_are_listed(roles, admin, ada):
    assert roles.list_holders(ADMINISTRATOR) == [admin]
    assert [role.name for role in roles.list_all()] == [ADMINISTRATOR, MEMBER]


def test_administrator_has_every_current_permission():
    assert granted([EVERYTHING]) == frozenset(PERMISSIONS)


def test_undeclared_permission_is_not_held():
    assert granted([USERS_READ, "ships:sink"]) == {USERS_READ}
    assert granted([]) == frozenset()


def test_permission_is_declared_once():
    with pytest.raises(ValueError, match="declared twice"):
        permission(USERS_READ, "Something else entirely.")


def test_every_permission_has_a_sentence():
    for name, sentence in PERMISSIONS.items():
        assert name.partition(":")[2], name
        assert sentence[0].isupper(), sentence
        assert sentence.endswith("."), sentence


# ── properties of a role ──


@pytest.fixture
def clerk(roles):
    return roles.create(
        RoleSpec(name="clerk", description="Invites people.", permissions=frozenset({USERS_READ})), by=OPERATOR
    )


def test_role_is_created_changed_and_deleted(roles, clerk, session):
    assert (clerk.permissions, clerk.version) == ([USERS_READ], 1)

    roles.change(
        clerk, replace(spec_of(clerk), permissions=frozenset({USERS_EDIT}), requires_second_factor=True), by=OPERATOR
    )
    assert (clerk.permissions, clerk.requires_second_factor, clerk.version) == ([USERS_EDIT], True, 2)
    roles.change(clerk, spec_of(clerk), by=OPERATOR)
    assert clerk.version == 2

    roles.delete(clerk, by=OPERATOR)
    assert [role.name for role in roles.list_all()] == [ADMINISTRATOR, MEMBER]
    kinds = [event.kind for event in session.query(AuditEvent)]
    assert kinds == ["role.made", "role.changed", "role.deleted"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "Clerk"}, "name"),
        ({"name": "two words"}, "name"),
        ({"name": "x" * 65}, "name"),
        ({"name": "clerk\n"}, "name"),
        ({"description": "two\nlines"}, "description"),
        ({"description": "x" * 201}, "description"),
        ({"permissions": frozenset({"ships:sink"})}, "permissions"),
        ({"permissions": frozenset({EVERYTHING})}, "permissions"),
    ],
)
def test_invalid_role_is_refused_with_the_field(roles, changes, field):
    with pytest.raises(InvalidRole) as refusal:
        roles.create(RoleSpec(**{"name": "checker", **changes}), by=OPERATOR)
    assert refusal.value.field == field


def test_role_name_is_unique(roles, clerk):
    with pytest.raises(RoleTaken):
        roles.create(RoleSpec(name="clerk"), by=OPERATOR)
    other = roles.create(RoleSpec(name="other"), by=OPERATOR)
    with pytest.raises(RoleTaken):
        roles.change(other, RoleSpec(name="clerk"), by=OPERATOR)


@pytest.mark.parametrize("permissions", [frozenset(), frozenset(PERMISSIONS) - {USERS_READ}])
def test_administrator_role_keeps_all_permissions(roles, permissions):
    administrator = roles.get(ADMINISTRATOR)
    with pytest.raises(RoleFixed):
        roles.change(administrator, replace(spec_of(administrator), permissions=permissions), by=OPERATOR)
    spelt_out = RoleSpec(name=ADMINISTRATOR, permissions=frozenset(PERMISSIONS), requires_second_factor=True)
    roles.change(administrator, spelt_out, by=OPERATOR)
    assert administrator.permissions == [EVERYTHING]


def test_built_in_roles_cannot_be_renamed_or_deleted(roles):
    for name in (ADMINISTRATOR, MEMBER):
        role = roles.get(name)
        with pytest.raises(RoleFixed):
            roles.change(role, replace(spec_of(role), name="other"), by=OPERATOR)
        with pytest.raises(RoleFixed):
            roles.delete(role, by=OPERATOR)


def test_assigned_role_cannot_be_deleted(roles, clerk, ada):
    roles.assign(ada, "clerk", by=OPERATOR)
    with pytest.raises(RoleInUse):
        roles.delete(clerk, by=OPERATOR)


def test_role_wider_than_ones_own_permissions_cannot_be_edited_or_assigned(roles, clerk, ada, clock):
    narrow = principal_of(ada, permissions={USERS_EDIT}, at=clock.now)
    acts = [
        lambda: roles.create(RoleSpec(name="wide", permissions=frozenset({USERS_READ})), by=narrow),
        lambda: roles.change(clerk, RoleSpec(name="clerk"), by=narrow),
        lambda: roles.delete(clerk, by=narrow),
        lambda: roles.assign(ada, "clerk", by=narrow),
        lambda: roles.unassign(ada, "clerk", by=narrow),
        lambda: roles.set(ada, [ADMINISTRATOR], by=narrow),
    ]
    for act in acts:
        with pytest.raises(NotAllowed):
            act()


def test_role_import_creates_and_changes_only_what_differs(roles, clerk):
    specs = [
        spec_of(roles.get(MEMBER)),
        RoleSpec(name="clerk"),
        RoleSpec(name="new", permissions=frozenset({USERS_EDIT})),
    ]
    changes = roles.compare(specs)
    assert [(change.wanted.name, change.lines) for change in changes] == [
        ("clerk", ("description: none", f"- {USERS_READ}")),
        ("new", (f"+ {USERS_EDIT}",)),
    ]

    roles.load(specs, seen=changes, by=OPERATOR)

    assert roles.compare(specs) == []
    assert roles.get("new").permissions == [USERS_EDIT]
    with pytest.raises(EditConflict):
        roles.load(specs, seen=changes, by=OPERATOR)


def test_role_import_cannot_reduce_the_administrator(roles):
    specs = [RoleSpec(name=ADMINISTRATOR)]
    with pytest.raises(RoleFixed):
        roles.load(specs, seen=roles.compare(specs), by=OPERATOR)


def test_users_of_a_role_are_counted_up_to_a_bound(roles, admin, ada, clerk, monkeypatch):
    for user in (admin, ada):
        roles.assign(user, MEMBER, by=OPERATOR)
    counts = {role.name: count for role, count in roles.list_with_holders()}
    assert counts == {ADMINISTRATOR: 1, MEMBER: 2, "clerk": 0}
    monkeypatch.setattr(roles_module, "MAX_COUNTED", 0)
    assert {role.name: count for role, count in roles.list_with_holders()}[MEMBER] == 1
