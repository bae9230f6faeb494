"""A bounded memory of computed values, for a minute; it never decides access."""

import time
from collections.abc import Hashable
from typing import Generic, TypeVar

V = TypeVar("V")


class Remembered(Generic[V]):
    """Values by key, `most` at a time. Keys that contain a secret are digests of it."""

    def __init__(self, *, most: int = 2048, seconds: float = 60) -> None:
        self._most = most
        self._seconds = seconds
        self._values: dict[Hashable, tuple[float, V]] = {}

    def find(self, key: Hashable) -> V | None:
        good_until, value = self._values.get(key, (0.0, None))
        return value if time.monotonic() < good_until else None

    def keep(self, key: Hashable, value: V) -> V:
        """Store the value and return it."""
        if len(self._values) >= self._most:
            self._values.clear()
        self._values[key] = time.monotonic() + self._seconds, value
        return value
