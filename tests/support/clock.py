from __future__ import annotations

from datetime import UTC, datetime, timedelta


class Clock:
    """The application's time in a test: it only advances when moved."""

    def __init__(self, start: datetime | None = None) -> None:
        self.now = start or datetime.now(UTC).replace(microsecond=0)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **span: float) -> datetime:
        """Move on by `days`, `hours`, `minutes`, `seconds`."""
        self.now += timedelta(**span)
        return self.now
