import ast
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

import app
from app.models import AuditDetail, AuditEvent
from app.web.sentences import SENTENCES, describe

CALLS = [
    node
    for source in sorted(Path(app.__file__).parent.rglob("*.py"))
    for node in ast.walk(ast.parse(source.read_text()))
    if isinstance(node, ast.Call)
]


def recorded_kinds():
    """Every kind that is given to `record` or `record_all` as a plain string, anywhere in the application."""
    for call in CALLS:
        if getattr(call.func, "attr", None) in {"record", "record_all"} and call.args:
            for each in ast.walk(call.args[0]):
                if isinstance(each, ast.Constant) and re.fullmatch(r"[a-z_]+\.[a-z_]+", str(each.value)):
                    yield each.value


def purposes_of_passwords():
    """What passwords are asked for: each makes a kind of its own when it is refused."""
    for call in CALLS:
        if getattr(call.func, "id", None) == "check_password":
            yield from (f"{each.value.value}.refused" for each in call.keywords if each.arg == "purpose")


def event(kind, **values):
    detail = AuditDetail(address="203.0.113.7", user_agent="", values=values)
    return AuditEvent(kind=kind, at=datetime(2026, 1, 2, tzinfo=UTC), detail=detail)


@pytest.mark.parametrize("kind", sorted({*recorded_kinds(), *purposes_of_passwords()}))
def test_every_kind_of_event_has_a_sentence(kind):
    assert SENTENCES[kind].endswith((".", "}")), kind


def test_no_sentence_is_about_what_never_happens():
    elsewhere = {"session.refused", "session.signed_out", "session.ended"}

    assert set(SENTENCES) - {*recorded_kinds(), *purposes_of_passwords()} <= elsewhere


def test_values_are_set_into_the_sentence():
    assert describe(event("email.changed", before="a@x.example", after="b@x.example")).sentence == (
        "The address changed from a@x.example to b@x.example."
    )


def test_what_was_erased_is_an_ellipsis():
    erased = AuditEvent(kind="email.changed", at=datetime(2026, 1, 2, tzinfo=UTC), detail=None)

    told = describe(erased)

    assert told.sentence == "The address changed from … to …."
    assert (told.address, told.device) == (None, None)


def test_what_people_typed_is_a_value_and_never_a_format():
    name = "{before.__class__.__mro__} {0} {after!r:>9999999}"

    assert (
        describe(event("user.renamed", before="Ada", after=name)).sentence
        == f"The name changed from “Ada” to “{name}”."
    )


def test_a_kind_of_a_later_version_is_shown_by_its_name():
    assert describe(event("rocket.launched")).sentence == "rocket.launched"
