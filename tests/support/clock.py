from __future__ import annotations

from datetime import UTC, datetime, timedelta


class Clock:
    """The application's time in a test: it only advances when moved."""

    def __init__(self, start: datetime | None = None) -> None:
        self.now = start or datetime.now(UTC).replace(microsecond=0)

    def __call__(self) -> datetime:
        return self.now

    def advance_to_morning(self) -> datetime:
        """Move on to 6:00 UTC of the next day, for tests that must not cross midnight."""
        self.now = (self.now + timedelta(days=1)).replace(hour=6, minute=0, second=0)
        return self.now

    def advance(self, **span: float) -> datetime:
        """Move on by `days`, `hours`, `minutes`, `seconds`."""
        self.now += timedelta(**span)
        return self.now
