import dataclasses

import pytest
from sqlalchemy import delete

from app.audit.models import AuditDetail
from app.audit.services.log import AuditLog, personal_digest
from app.core.principal import Origin, Visit
from tests.unit.conftest import principal_of


def test_event_has_actor_subject_and_origin(audit, clock):
    event = audit.find(audit.record("user.renamed", subject_id=7, actor_id=8, before="Ada", after="Augusta"))

    assert (event.kind, event.subject_id, event.actor_id, event.at, event.request_id) == (
        "user.renamed",
        7,
        8,
        clock.now,
        "r-1",
    )
    assert event.detail.values == {"before": "Ada", "after": "Augusta"}
    assert (event.detail.address, event.detail.user_agent) == ("203.0.113.7", "Firefox")


def test_signed_in_user_is_the_actor_unless_another_is_named(session, origin, ada, clock):
    signed_in = dataclasses.replace(origin, actor=principal_of(ada, session_id=9, at=clock.now))
    audit = AuditLog(session=session, origin=signed_in, clock=clock)

    event = audit.find(audit.record("user.renamed", subject_id=7))

    assert (event.actor_id, event.session_id) == (ada.id, 9)
    assert audit.find(audit.record("user.renamed", subject_id=7, actor_id=5)).actor_id == 5


def test_impersonator_is_the_actor_even_when_another_is_named(session, origin, ada, clock):
    principal = dataclasses.replace(principal_of(ada, session_id=9, at=clock.now), impersonator_id=5)
    audit = AuditLog(session=session, origin=dataclasses.replace(origin, actor=principal), clock=clock)

    for named in (None, ada.id):
        event = audit.find(audit.record("user.renamed", subject_id=ada.id, actor_id=named))
        assert (event.actor_id, event.on_behalf_of_id, event.subject_id) == (5, ada.id, ada.id)


def test_event_names_its_entry_point(session, clock):
    audit = AuditLog(session=session, origin=Origin(Visit(), entry_point="cli"), clock=clock)

    assert audit.find(audit.record("user.created", subject_id=7)).detail.values == {"entry_point": "cli"}


def test_event_row_contains_no_personal_value(audit):
    event = audit.find(audit.record("email.changed", subject_id=7, before="ada@example.com", after="x@example.com"))

    columns = {column.name: getattr(event, column.name) for column in event.__table__.columns}
    assert "ada@example" not in str(columns)
    assert "203.0.113.7" not in str(columns)


def test_digest_proves_the_personal_values(audit):
    event = audit.find(audit.record("email.changed", subject_id=7, before="ada@example.com"))
    detail = event.detail

    assert event.digest == personal_digest(detail.salt, detail.address, detail.user_agent, detail.values)


@pytest.mark.parametrize(
    "forged",
    [
        {"values": {"before": "eve@example.com"}},
        {"values": {}},
        {"address": "198.51.100.1"},
        {"address": None},
        {"user_agent": "Chrome"},
        {"salt": b"0" * 16},
    ],
    ids=str,
)
def test_changed_value_does_not_match_the_digest(audit, forged):
    event = audit.find(audit.record("email.changed", subject_id=7, before="ada@example.com"))
    values = {name: getattr(event.detail, name) for name in ("salt", "address", "user_agent", "values")} | forged

    assert event.digest != personal_digest(**values)


def test_equal_values_have_different_digests(audit):
    first, second = (audit.find(audit.record("user.renamed", subject_id=7, before="Ada")) for _ in range(2))

    assert first.digest != second.digest


def test_erasing_personal_values_keeps_the_event(audit, session):
    event_id = audit.record("email.changed", subject_id=7, before="ada@example.com")

    session.execute(delete(AuditDetail).where(AuditDetail.subject_id == 7))
    session.expire_all()

    event = audit.find(event_id)
    assert (event.kind, event.detail) == ("email.changed", None)


def test_events_of_a_user_are_paged_newest_first(audit):
    ids = [audit.record("session.started", subject_id=7) for _ in range(5)]
    audit.record("session.started", subject_id=8)

    assert [event.id for event in audit.list_for(7, limit=2)] == ids[:-3:-1]
    assert [event.id for event in audit.list_for(7, before=ids[2])] == [ids[1], ids[0]]
    assert audit.find(12345) is None
