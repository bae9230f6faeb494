import pytest

from app.errors import LastAdministrator, RoleNotFound
from app.models import ADMINISTRATOR, MEMBER
from app.services.permissions import EVERYTHING, PERMISSIONS, USERS_READ, granted, permission
from tests.unit.conftest import add_user


@pytest.fixture
def admin(session, roles, clock):
    admin = add_user(session, "grace@example.com", at=clock.now)
    roles.give(admin, ADMINISTRATOR)
    return admin


def test_a_role_is_given_once_and_taken_once(roles, ada):
    for _ in range(2):
        roles.give(ada, MEMBER)
    assert [role.name for role in ada.roles] == [MEMBER]

    for _ in range(2):
        roles.take(ada, MEMBER)
    assert ada.roles == []


def test_a_role_that_does_not_exist_is_named_with_those_that_do(roles, ada):
    with pytest.raises(RoleNotFound, match=r"There is no role 'wizard'; there are administrator, member\."):
        roles.give(ada, "wizard")


def test_the_last_administrator_stays_one(roles, admin):
    with pytest.raises(LastAdministrator):
        roles.take(admin, ADMINISTRATOR)

    assert admin.has_role(ADMINISTRATOR)


def test_with_two_administrators_one_may_go(roles, admin, ada):
    roles.give(ada, ADMINISTRATOR)

    roles.take(admin, ADMINISTRATOR)

    with pytest.raises(LastAdministrator):
        roles.take(ada, ADMINISTRATOR)


@pytest.mark.parametrize("lacks", ["is_active", "is_verified"])
def test_an_administrator_who_cannot_sign_in_does_not_count(roles, admin, session, clock, lacks):
    other = add_user(session, "other@example.com", at=clock.now, is_verified=lacks != "is_verified")
    roles.give(other, ADMINISTRATOR)
    if lacks == "is_active":
        other.deactivate(reason="left", at=clock.now)
    session.flush()

    with pytest.raises(LastAdministrator):
        roles.take(admin, ADMINISTRATOR)
    roles.take(other, ADMINISTRATOR)


def test_whoever_is_no_administrator_may_always_go(roles, admin, ada):
    roles.keep_one_administrator(losing=ada)


def test_holders_of_a_role_are_listed(roles, admin, ada):
    assert roles.list_holders(ADMINISTRATOR) == [admin]
    assert [role.name for role in roles.list_all()] == [ADMINISTRATOR, MEMBER]


def test_the_administrators_star_holds_every_permission_of_today():
    assert granted([EVERYTHING]) == frozenset(PERMISSIONS)


def test_a_permission_that_is_declared_no_more_is_held_no_more():
    assert granted([USERS_READ, "ships:sink"]) == {USERS_READ}
    assert granted([]) == frozenset()


def test_a_permission_is_declared_once():
    with pytest.raises(ValueError, match="declared twice"):
        permission(USERS_READ, "Something else entirely.")


def test_every_permission_is_explained_in_a_sentence():
    for name, sentence in PERMISSIONS.items():
        assert name.partition(":")[2], name
        assert sentence[0].isupper(), sentence
        assert sentence.endswith("."), sentence
