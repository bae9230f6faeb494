"""The policy: each rule alone, and which one decides."""

from datetime import timedelta

import pytest

from app.core.errors import NotAllowed, NotFound
from app.core.principal import OPERATOR
from app.invitations.models import Invitation
from app.users.models import ADMINISTRATOR, Grant
from app.users.permissions import ACCOUNT_READ, ACCOUNT_WRITE, USERS_DELETE, USERS_EDIT, USERS_READ, permissions_of
from app.users.services.policy import Rule, granted_ids
from app.users.services.roles import RoleSpec
from tests.unit.conftest import add_user, principal_of


@pytest.fixture
def bob(session, clock):
    return add_user(session, "bob@example.com", at=clock.now)


@pytest.fixture
def acting(clock):
    """A principal with the permissions of their roles and these."""
    return lambda user, *more, **how: principal_of(
        user, permissions=permissions_of(user.roles) | set(more), at=clock.now, **how
    )


def test_permission_allows(policy, acting, ada, bob):
    decision = policy.may(acting(ada, USERS_EDIT), USERS_EDIT, bob)
    assert (bool(decision), decision.rule) == (True, Rule.PERMISSION)

    decision = policy.may(acting(ada), USERS_EDIT, bob)
    assert (bool(decision), decision.rule) == (False, Rule.PERMISSION)
    assert USERS_EDIT in decision.reason


def test_owner_has_owner_permissions_only(policy, acting, ada):
    decision = policy.may(acting(ada), USERS_EDIT, ada)
    assert (bool(decision), decision.rule) == (True, Rule.OWNERSHIP)
    assert not policy.may(acting(ada), USERS_DELETE, ada)


def test_api_key_needs_a_scope_for_its_owners_resources(policy, acting, ada):
    assert not policy.may(acting(ada, via="api_key"), USERS_READ, ada)
    assert policy.may(acting(ada, ACCOUNT_READ, via="api_key"), USERS_READ, ada)
    assert not policy.may(acting(ada, ACCOUNT_READ, via="api_key"), USERS_EDIT, ada)
    assert policy.may(acting(ada, ACCOUNT_WRITE, via="api_key"), USERS_EDIT, ada)


def test_rank_of_a_pending_account_includes_its_promised_roles(policy, roles, acting, session, clock, ada):
    roles.create(RoleSpec(name="clerk", permissions=frozenset({USERS_DELETE})), by=OPERATOR)
    invited = add_user(session, "invited@example.com", at=clock.now, is_verified=False)
    session.add(
        Invitation(
            user=invited,
            by_operator=True,
            roles=["clerk"],
            created_at=clock.now,
            expires_at=clock.now + timedelta(days=7),
        )
    )
    session.flush()

    decision = policy.may(acting(ada, USERS_EDIT), USERS_EDIT, invited)

    assert (bool(decision), decision.rule) == (False, Rule.RANK)
    assert policy.may(acting(ada, USERS_EDIT, USERS_DELETE), USERS_EDIT, invited)


def test_user_with_wider_permissions_cannot_be_changed(policy, roles, acting, ada, bob):
    roles.create(RoleSpec(name="clerk", permissions=frozenset({USERS_DELETE})), by=OPERATOR)
    roles.assign(bob, "clerk", by=OPERATOR)

    decision = policy.may(acting(ada, USERS_EDIT), USERS_EDIT, bob)

    assert (bool(decision), decision.rule) == (False, Rule.RANK)
    assert USERS_DELETE in decision.reason
    assert policy.may(acting(ada, USERS_EDIT, USERS_DELETE), USERS_EDIT, bob)
    assert policy.may(acting(ada, USERS_READ), USERS_READ, bob).rule is Rule.PERMISSION
    with pytest.raises(NotAllowed, match=USERS_DELETE):
        policy.check(acting(ada, USERS_EDIT), USERS_EDIT, bob)


def test_grant_applies_to_its_own_resource_only(policy, acting, session, clock, ada, bob):
    other = add_user(session, "other@example.com", at=clock.now)
    admin = acting(other, USERS_EDIT)
    for _ in range(2):
        policy.grant(ada.id, USERS_EDIT, bob, by=admin)

    assert policy.may(acting(ada), USERS_EDIT, bob).rule is Rule.GRANT
    assert not policy.may(acting(ada), USERS_EDIT, other)
    assert not policy.may(acting(ada), USERS_DELETE, bob)
    assert not policy.may(acting(ada, via="api_key"), USERS_EDIT, bob)
    assert [grant.resource_id for grant in policy.list_grants_of(ada.id)] == [bob.id]
    assert not policy.may(acting(ada, impersonator_id=other.id), USERS_EDIT, bob)
    assert session.scalars(granted_ids(acting(ada), USERS_EDIT, type(bob))).all() == [bob.id]
    for limited in (acting(ada, via="api_key"), acting(ada, impersonator_id=other.id)):
        assert session.scalars(granted_ids(limited, USERS_EDIT, type(bob))).all() == []

    policy.revoke(ada.id, USERS_EDIT, bob, by=admin)
    assert not policy.may(acting(ada), USERS_EDIT, bob)
    assert policy.list_grants_of(ada.id) == []


def test_grant_does_not_exceed_rank(policy, roles, acting, ada, bob):
    policy.grant(ada.id, USERS_EDIT, bob, by=acting(bob))
    roles.assign(bob, ADMINISTRATOR, by=OPERATOR)

    assert policy.may(acting(ada), USERS_EDIT, bob).rule is Rule.RANK


def test_grant_cannot_be_passed_on(policy, acting, session, clock, ada, bob):
    other = add_user(session, "other@example.com", at=clock.now)
    policy.grant(ada.id, USERS_EDIT, bob, by=acting(bob))

    for who in (acting(ada), acting(other)):
        with pytest.raises(NotAllowed):
            policy.grant(other.id, USERS_EDIT, bob, by=who)
        with pytest.raises(NotAllowed):
            policy.revoke(ada.id, USERS_EDIT, bob, by=who)


def test_grants_are_deleted_with_the_resource(policy, acting, session, ada, bob):
    policy.grant(ada.id, USERS_EDIT, bob, by=acting(bob))
    policy.forget(bob)
    assert session.query(Grant).all() == []


def test_decision_names_the_roles_and_the_state_of_the_account(policy, roles, ada, bob, clock):
    roles.create(RoleSpec(name="clerk", permissions=frozenset({USERS_EDIT})), by=OPERATOR)
    roles.assign(ada, "clerk", by=OPERATOR)

    assert policy.why(ada, USERS_EDIT, bob).reason == "Held through: clerk."
    assert policy.why(bob, USERS_EDIT, ada).rule is Rule.PERMISSION
    ada.deactivate(reason="left", at=clock.now)
    decision = policy.why(ada, USERS_EDIT, bob)
    assert (bool(decision), decision.rule) == (False, Rule.ACCOUNT)


def test_undeclared_action_raises(policy, acting, ada):
    with pytest.raises(ValueError, match="ships:sink is not declared"):
        policy.may(acting(ada), "ships:sink")


@pytest.mark.parametrize(
    "spelling", ["users:7", "users:x", "users", "users:", "ships:1", "users:²", "users:" + "9" * 30]
)
def test_missing_resource_is_one_sentence(policy, ada, spelling):
    with pytest.raises(NotFound, match=r"There is no users:7|Invalid resource"):
        policy.get_resource(spelling)
    assert policy.get_resource(f"users:{ada.id}") is ada
