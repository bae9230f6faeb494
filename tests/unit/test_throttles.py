from datetime import timedelta

import pytest

from app.auth.models import Throttle
from app.core.errors import TooManyTries


def fail(throttles, times, key="account:ada@example.com"):
    for _ in range(times):
        throttle = throttles.charge(key, user_id=None)
    return throttle


def test_first_attempts_are_free(throttles, lifetimes):
    assert fail(throttles, lifetimes.sign_in_free_tries).failures == lifetimes.sign_in_free_tries


def test_wait_doubles_with_each_attempt(throttles, clock):
    fail(throttles, 5)

    waits = []
    for _ in range(6):
        with pytest.raises(TooManyTries) as refusal:
            fail(throttles, 1)
        waits.append(refusal.value.retry_after)
        clock.advance(seconds=refusal.value.retry_after)
        fail(throttles, 1)

    assert waits == [1, 2, 4, 8, 16, 32]


def test_wait_is_limited(throttles, clock, lifetimes):
    for _ in range(60):
        try:
            throttle = fail(throttles, 1)
        except TooManyTries as refusal:
            clock.advance(seconds=refusal.retry_after)

    assert throttle.blocked_until - clock.now <= timedelta(minutes=lifetimes.sign_in_delay_max_minutes)
    with pytest.raises(TooManyTries) as refusal:
        fail(throttles, 5)
    assert refusal.value.retry_after == 15 * 60


def test_refused_attempt_does_not_lengthen_the_wait(throttles):
    fail(throttles, 5)
    for _ in range(20):
        with pytest.raises(TooManyTries) as refusal:
            fail(throttles, 1)

    assert refusal.value.retry_after == 1


def test_attempts_are_forgotten_after_a_day(throttles, clock):
    fail(throttles, 5)
    clock.advance(hours=24, seconds=1)

    assert fail(throttles, 1).failures == 1


def test_keys_are_counted_separately(throttles):
    fail(throttles, 5)

    assert fail(throttles, 1, key="device:1:abc").failures == 1
    assert fail(throttles, 1, key="account:bob@example.com").failures == 1


def test_correct_password_takes_back_only_its_own_charge(throttles):
    throttle = fail(throttles, 4)

    throttles.refund(throttle.id)

    assert throttles.failures(throttle.id) == 3


def test_charge_is_refunded_once(throttles):
    throttle = fail(throttles, 1)

    for _ in range(3):
        throttles.refund(throttle.id)

    assert throttles.failures(throttle.id) == 0


def test_counter_stores_no_address(session, throttles):
    fail(throttles, 1)

    (row,) = session.query(Throttle)
    assert "ada" not in row.key
