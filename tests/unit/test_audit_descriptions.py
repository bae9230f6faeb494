from datetime import UTC, datetime

import pytest
from flask import Flask

from app.audit.descriptions import describe
from app.audit.models import AuditDetail, AuditEvent
from app.features import load_features
from tests.support.sources import argument, recorded_kinds

SENTENCES = load_features().audit_texts


@pytest.fixture(autouse=True)
def _application():
    app = Flask("descriptions")
    app.extensions["features"] = load_features()
    with app.app_context():
        yield


def purposes_of_passwords():
    """Return the purposes of password checks: each has its own event when it fails."""
    return {f"{purpose}.refused" for purpose in argument("check_password", keyword="purpose")}


def event(kind, **values):
    detail = AuditDetail(address="203.0.113.7", user_agent="", values=values)
    return AuditEvent(kind=kind, at=datetime(2026, 1, 2, tzinfo=UTC), detail=detail)


def test_every_event_kind_has_a_description():
    for kind in recorded_kinds() | purposes_of_passwords():
        assert SENTENCES[kind].endswith((".", "}")), kind


def test_every_description_belongs_to_an_event():
    elsewhere = {"session.refused", "session.signed_out", "session.ended"}

    assert set(SENTENCES) - recorded_kinds() - purposes_of_passwords() <= elsewhere


def test_values_are_inserted_into_the_description():
    assert describe(event("email.changed", before="a@x.example", after="b@x.example")).sentence == (
        "Email address changed from a@x.example to b@x.example."
    )


def test_erased_value_is_shown_as_an_ellipsis():
    erased = AuditEvent(kind="email.changed", at=datetime(2026, 1, 2, tzinfo=UTC), detail=None)

    description = describe(erased)

    assert description.sentence == "Email address changed from … to …."
    assert (description.address, description.device) == (None, None)


def test_user_input_is_never_a_format_string():
    name = "{before.__class__.__mro__} {0} {after!r:>9999999}"

    assert describe(event("user.renamed", before="Ada", after=name)).sentence == f"Name changed from “Ada” to “{name}”."


def test_unknown_kind_is_shown_by_its_name():
    assert describe(event("rocket.launched")).sentence == "rocket.launched"
