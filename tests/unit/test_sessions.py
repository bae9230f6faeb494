import pytest
from sqlalchemy import select

from app.auth.models import Device, Session
from app.auth.services.last_seen import LastSeen, Use
from app.auth.services.principals import Expired, Found, find_by_cookie
from app.core.errors import SessionNotFound
from app.core.principal import OPERATOR, Visit
from app.core.tokens import token_hash
from app.users.permissions import PERMISSIONS
from tests.unit.conftest import add_user, principal_of

VISIT = Visit(address="203.0.113.7", user_agent="Firefox")


@pytest.fixture
def who_is(session, clock):
    def who_is(token):
        session.flush()
        row = find_by_cookie(session.connection(), token, at=clock.now)
        return row.principal if isinstance(row, Found) else None

    return who_is


@pytest.fixture
def see(session, clock):
    return lambda principal: LastSeen(session=session, clock=clock).record([Use.of(principal, clock.now)])


def test_session_is_found_by_its_token_and_only_the_hash_is_stored(sessions, session, ada, who_is):
    session_id, token = sessions.start(ada.id, visit=VISIT, remember=False)

    assert who_is(token).user_id == ada.id
    assert who_is("x" * 43) is None
    assert session.get(Session, session_id).token_hash == token_hash(token)


def test_session_expires_when_idle(sessions, ada, clock, who_is):
    _, token = sessions.start(ada.id, visit=VISIT, remember=False)

    clock.advance(hours=11, minutes=59)
    assert who_is(token)
    clock.advance(minutes=1)
    assert who_is(token) is None


def test_activity_extends_a_session_up_to_its_absolute_end(sessions, ada, clock, who_is, see):
    _, token = sessions.start(ada.id, visit=VISIT, remember=False)
    for _ in range(16):
        clock.advance(hours=10)
        see(who_is(token))

    assert who_is(token)
    clock.advance(hours=10)
    assert who_is(token) is None


def test_remembered_session_may_idle_for_a_month_and_live_for_three(sessions, ada, clock, who_is, see):
    _, token = sessions.start(ada.id, visit=VISIT, remember=True)
    for _ in range(3):
        clock.advance(days=29)
        see(who_is(token))

    clock.advance(days=2, hours=23)
    assert who_is(token)
    clock.advance(hours=1)
    assert who_is(token) is None


@pytest.mark.parametrize("change", ["deactivated", "unconfirmed"])
def test_user_who_can_no_longer_sign_in_is_signed_out_at_once(sessions, ada, clock, who_is, change):
    _, token = sessions.start(ada.id, visit=VISIT, remember=False)

    if change == "deactivated":
        ada.deactivate(reason="left", at=clock.now)
    else:
        ada.email_verified_at = None

    assert who_is(token) is None


def test_roles_are_read_at_each_request(sessions, roles, ada, who_is):
    _, token = sessions.start(ada.id, visit=VISIT, remember=False)
    assert who_is(token).permissions == frozenset()

    roles.assign(ada, "member", by=OPERATOR)
    roles.assign(ada, "administrator", by=OPERATOR)

    assert who_is(token).roles == ("administrator", "member")
    assert who_is(token).permissions == frozenset(PERMISSIONS)


def test_ended_session_is_invalid_and_ends_once(sessions, ada, who_is):
    session_id, token = sessions.start(ada.id, visit=VISIT, remember=False)

    sessions.revoke(session_id, user_id=ada.id, reason="ended_by_owner")

    assert who_is(token) is None
    with pytest.raises(SessionNotFound):
        sessions.revoke(session_id, user_id=ada.id, reason="ended_by_owner")


def test_session_of_another_user_cannot_be_ended(sessions, session, ada, clock, who_is):
    bob = add_user(session, "bob@example.com", at=clock.now)
    session_id, token = sessions.start(bob.id, visit=VISIT, remember=False)

    with pytest.raises(SessionNotFound):
        sessions.revoke(session_id, user_id=ada.id, reason="ended_by_owner")
    assert who_is(token).user_id == bob.id


def test_all_other_sessions_end_and_this_one_stays(sessions, ada, who_is):
    kept, token = sessions.start(ada.id, visit=VISIT, remember=False)
    others = [sessions.start(ada.id, visit=VISIT, remember=True)[1] for _ in range(3)]

    assert sessions.revoke_all(ada.id, reason="ended_by_owner", keep=kept) == 3

    assert who_is(token)
    assert not any(who_is(other) for other in others)
    assert [row.id for row in sessions.list_live(ada.id)] == [kept]


def test_confirmation_rotates_the_token(sessions, ada, clock, who_is):
    session_id, old = sessions.start(ada.id, visit=VISIT, remember=False)
    clock.advance(hours=1)

    new = sessions.confirm(who_is(old))

    assert who_is(old) is None
    assert who_is(new).session_id == session_id
    assert who_is(new).confirmed_at == clock.now
    assert who_is(new).authenticated_at < clock.now


def test_ended_session_cannot_be_confirmed(sessions, ada, clock):
    session_id, _ = sessions.start(ada.id, visit=VISIT, remember=False)
    sessions.revoke(session_id, user_id=ada.id, reason="ended_by_owner")

    with pytest.raises(SessionNotFound):
        sessions.confirm(principal_of(ada, session_id=session_id, at=clock.now))


def test_least_recently_used_session_ends_at_the_limit(sessions, session, ada, clock, who_is, see):
    first, token = sessions.start(ada.id, visit=VISIT, remember=False)
    for _ in range(99):
        clock.advance(seconds=1)
        last, _ = sessions.start(ada.id, visit=VISIT, remember=False)
    clock.advance(minutes=6)
    see(who_is(token))

    sessions.start(ada.id, visit=VISIT, remember=False)

    live = {row.id for row in sessions.list_live(ada.id)}
    assert len(live) == 100
    assert {first, last} <= live
    assert session.get(Session, first + 1).end_reason == "too_many"


def test_expired_session_stays_expired(sessions, session, ada, clock, who_is):
    session_id, token = sessions.start(ada.id, visit=VISIT, remember=False)
    clock.advance(hours=13)
    assert find_by_cookie(session.connection(), token, at=clock.now) == Expired(session_id=session_id)

    sessions.expire(session_id)
    clock.advance(hours=-13)

    assert who_is(token) is None


def test_idle_sessions_are_not_listed(sessions, ada, clock):
    sessions.start(ada.id, visit=VISIT, remember=False)
    remembered, _ = sessions.start(ada.id, visit=VISIT, remember=True)
    clock.advance(hours=13)

    assert [row.id for row in sessions.list_live(ada.id)] == [remembered]


def test_device_is_known_to_the_account_it_signed_in_to(sessions, session, ada, clock):
    bob = add_user(session, "bob@example.com", at=clock.now)

    sessions.remember_device(ada.id, "device-token")
    clock.advance(days=1)
    sessions.remember_device(ada.id, "device-token")

    assert sessions.find_device(ada.id, "device-token").token_hash == token_hash("device-token")
    assert sessions.find_device(bob.id, "device-token") is None
    assert sessions.find_device(ada.id, None) is None
    assert session.scalars(select(Device.last_seen_at)).all() == [clock.now]
    assert sessions.has_devices(ada.id)
    assert not sessions.has_devices(bob.id)
