import dataclasses

import pytest

from app.auth.emails.sign_in import SendNewDevice
from app.features import load_features
from app.jobs.registry import HANDLERS, STEPPED, handles
from app.jobs.tasks import QUEUES, NoOperation, Task
from tests.support.snapshot import refusals

load_features()
KINDS = sorted(Task.kinds)


def test_tasks_and_handlers_match():
    for task in Task.kinds.values():
        assert (task in STEPPED) != any(parent in HANDLERS for parent in task.__mro__), task


@pytest.mark.parametrize("kind", KINDS)
def test_task_holds_ids_and_no_user_input(kind):
    for field in dataclasses.fields(Task.kinds[kind]):
        assert field.name.endswith("_id"), field.name
        assert field.type in {int, int | None, "int", "int | None"}, field.type


@pytest.mark.parametrize("kind", KINDS)
def test_task_is_read_back_from_its_row(kind):
    task = Task.kinds[kind](*range(1, len(dataclasses.fields(Task.kinds[kind])) + 1))

    assert Task.read(task.kind, task.arguments()) == task
    assert task.queue in QUEUES
    assert task.max_attempts >= 1


def test_kind_and_title_are_explicit():
    assert (SendNewDevice.kind, SendNewDevice.title) == ("send_new_device", "Notify of new device")


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("fly_to_the_moon", {}),
        ("send_new_device", {"user_id": 1}),
        ("send_new_device", {"user_id": 1, "session_id": 2, "speed": 3}),
        ("no_operation", {"user_id": 1}),
    ],
)
def test_unknown_arguments_are_not_guessed(kind, arguments):
    with pytest.raises(KeyError):
        Task.read(kind, arguments)


def test_task_has_one_handler():
    with pytest.raises(ValueError, match="has two handlers"):
        handles(NoOperation)(lambda work, task, claim: None)


def test_every_refusal_has_its_own_code_and_a_sentence():
    codes = {}
    for refusal in refusals():
        if "code" in vars(refusal):
            assert codes.setdefault(refusal.code, refusal) is refusal
            assert refusal.code.islower()
        assert refusal.message.endswith("."), refusal
