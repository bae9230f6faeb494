from datetime import datetime, timedelta

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from app.core.models import OWN_DATA, Base, BigId


class Throttle(Base):
    """Wrong passwords counted under one key: an account's unknown browsers, or one known browser of an account.

    Rows exist for unknown addresses too, so that a counter does not show whether an account exists.
    """

    __tablename__ = "throttles"
    __table_args__ = ({"sqlite_autoincrement": True, "info": {OWN_DATA: None}},)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    key: Mapped[str] = mapped_column(String(64), unique=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    failures: Mapped[int] = mapped_column(default=0)
    last_failed_at: Mapped[datetime] = mapped_column(index=True)
    blocked_until: Mapped[datetime]

    def is_blocked(self, at: datetime) -> bool:
        return at < self.blocked_until

    def fail(self, *, at: datetime, free_tries: int, longest: timedelta, forget_after: timedelta) -> None:
        """Count one wrong password; after the free tries each doubles the wait, up to `longest`."""
        self.failures = 1 if at - self.last_failed_at > forget_after else self.failures + 1
        self.last_failed_at = at
        excess = self.failures - free_tries
        if excess >= 0:
            self.blocked_until = at + min(timedelta(seconds=2 ** min(excess, 20)), longest)
