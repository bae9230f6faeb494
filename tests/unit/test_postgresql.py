"""Timeouts of PostgreSQL requests, with a server that never answers and a fake clock."""

import pytest
from flask import Flask

from app.core import postgresql
from app.core.postgresql import ServerHangs, Waits


def never():
    while True:
        yield "read"


@pytest.fixture
def clock(monkeypatch):
    times = [0.0]
    monkeypatch.setattr(postgresql, "monotonic", lambda: times[0])
    return times


def begun(waits, **how):
    wait = waits.limit(never(), 9, **{"may_be_last": False, **how})
    next(wait)
    return wait


def test_database_response_is_returned():
    def answered():
        ready = yield "read"
        return f"answer to {ready}"

    wait = Waits(4).limit(answered(), 9, may_be_last=False)
    assert next(wait) == "read"
    assert wait.send(0) == "read"  # Nothing for 0.1 s.
    with pytest.raises(StopIteration) as end:
        wait.send(1)
    assert end.value.value == "answer to 1"


def test_timed_out_thread_gives_up_and_others_are_refused_for_a_while(clock):
    waits = Waits(4)
    wait = begun(waits)
    clock[0] = 8.9
    assert wait.send(0) == "read"
    clock[0] = 9.1
    with pytest.raises(ServerHangs, match=r"9\.1 seconds"):
        wait.send(0)
    with Flask(__name__).test_request_context():
        clock[0] = 14.0
        with pytest.raises(ServerHangs, match="a moment ago"):
            waits.check()
        clock[0] = 14.2
        waits.check()


def test_only_the_last_thread_gives_up_first(clock):
    waits = Waits(3)
    waiting = [begun(waits) for _ in range(3)]
    clock[0] = 0.9
    assert [wait.send(0) for wait in waiting] == ["read"] * 3
    clock[0] = 1.1
    with pytest.raises(ServerHangs):
        waiting[2].send(0)
    assert [wait.send(0) for wait in waiting[:2]] == ["read"] * 2
    with Flask(__name__).test_request_context():
        # The server may only be slow, so requests are refused for one second.
        with pytest.raises(ServerHangs):
            waits.check()
        clock[0] = 2.2
        waits.check()


def test_commit_is_not_abandoned_when_threads_are_exhausted(clock):
    waits = Waits(2)
    waiting = [begun(waits, may_be_last=True) for _ in range(2)]
    clock[0] = 5
    assert [wait.send(0) for wait in waiting] == ["read"] * 2
    clock[0] = 9.1
    with pytest.raises(ServerHangs):
        waiting[0].send(0)
