"""The in-process memo is bounded and expires."""

from app.core import remembered
from app.core.remembered import Remembered


def test_values_are_found_until_they_expire(monkeypatch):
    at = [100.0]
    monkeypatch.setattr(remembered.time, "monotonic", lambda: at[0])
    known: Remembered[str] = Remembered(seconds=60)

    assert known.find("a") is None
    assert known.keep("a", "value") == "value"
    at[0] = 159.9
    assert known.find("a") == "value"
    at[0] = 160.0
    assert known.find("a") is None


def test_size_is_limited():
    known: Remembered[int] = Remembered(most=3)
    for number in range(1000):
        known.keep(number, number)
        assert len(known._values) <= 3
    assert known.find(999) == 999
