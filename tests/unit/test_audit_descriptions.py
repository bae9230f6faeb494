from datetime import UTC, datetime

from app.models import AuditDetail, AuditEvent
from app.web.audit_descriptions import SENTENCES, describe
from tests.support.sources import argument, recorded_kinds


def purposes_of_passwords():
    """What passwords are asked for: each makes a kind of its own when it is refused."""
    return {f"{purpose}.refused" for purpose in argument("check_password", keyword="purpose")}


def event(kind, **values):
    detail = AuditDetail(address="203.0.113.7", user_agent="", values=values)
    return AuditEvent(kind=kind, at=datetime(2026, 1, 2, tzinfo=UTC), detail=detail)


def test_every_kind_of_event_has_a_sentence():
    for kind in recorded_kinds() | purposes_of_passwords():
        assert SENTENCES[kind].endswith((".", "}")), kind


def test_no_sentence_is_about_what_never_happens():
    elsewhere = {"session.refused", "session.signed_out", "session.ended"}

    assert set(SENTENCES) - recorded_kinds() - purposes_of_passwords() <= elsewhere


def test_values_are_set_into_the_sentence():
    assert describe(event("email.changed", before="a@x.example", after="b@x.example")).sentence == (
        "Email address changed from a@x.example to b@x.example."
    )


def test_what_was_erased_is_an_ellipsis():
    erased = AuditEvent(kind="email.changed", at=datetime(2026, 1, 2, tzinfo=UTC), detail=None)

    told = describe(erased)

    assert told.sentence == "Email address changed from … to …."
    assert (told.address, told.device) == (None, None)


def test_what_people_typed_is_a_value_and_never_a_format():
    name = "{before.__class__.__mro__} {0} {after!r:>9999999}"

    assert describe(event("user.renamed", before="Ada", after=name)).sentence == f"Name changed from “Ada” to “{name}”."


def test_a_kind_of_a_later_version_is_shown_by_its_name():
    assert describe(event("rocket.launched")).sentence == "rocket.launched"
