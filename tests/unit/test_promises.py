import dataclasses

import pytest

from app.errors import AccountError
from app.jobs import worker
from app.jobs.registry import FUNCTIONS, keeps
from app.promises import QUEUES, NoOperation, Promise, SendNewDevice

KINDS = sorted(Promise.kinds)


def test_every_promise_is_kept_by_a_function_and_every_function_keeps_a_promise():
    assert worker.FUNCTIONS is FUNCTIONS
    assert set(FUNCTIONS) == set(Promise.kinds.values())


@pytest.mark.parametrize("kind", KINDS)
def test_a_promise_holds_numbers_and_nothing_that_anybody_typed(kind):
    for field in dataclasses.fields(Promise.kinds[kind]):
        assert field.name.endswith("_id"), field.name
        assert field.type in {"int", "int | None"}, field.type


@pytest.mark.parametrize("kind", KINDS)
def test_a_promise_can_be_read_back_from_its_row(kind):
    promise = Promise.kinds[kind](*range(1, len(dataclasses.fields(Promise.kinds[kind])) + 1))

    assert Promise.read(promise.kind(), promise.arguments()) == promise
    assert promise.queue in QUEUES
    assert promise.max_attempts >= 1


def test_a_kind_is_the_name_in_small_letters():
    assert SendNewDevice.kind() == "send_new_device"


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("fly_to_the_moon", {}),
        ("send_new_device", {"user_id": 1}),
        ("send_new_device", {"user_id": 1, "session_id": 2, "speed": 3}),
        ("no_operation", {"user_id": 1}),
    ],
)
def test_what_this_version_does_not_know_is_not_guessed(kind, arguments):
    with pytest.raises(KeyError):
        Promise.read(kind, arguments)


def test_a_promise_is_kept_by_one_function_only():
    with pytest.raises(ValueError, match="kept by two functions"):
        keeps(NoOperation)(lambda work, promise, claim: None)


def refusals(kind=AccountError):
    for each in kind.__subclasses__():
        yield each
        yield from refusals(each)


def test_every_refusal_has_a_code_of_its_own_and_a_sentence():
    codes = {}
    for each in refusals():
        if "code" in vars(each):
            assert codes.setdefault(each.code, each) is each
            assert each.code.islower()
        assert each.message.endswith("."), each
