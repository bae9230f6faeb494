from datetime import datetime, timedelta

from sqlalchemy import ForeignKey, String, text
from sqlalchemy.orm import Mapped, mapped_column

from app.core.lengths import MAX_REASON_LENGTH
from app.core.models import Base, BigId, partial_index

WAITING = text("ended_at IS NULL")
# An attacker may have added a younger address or factor, so it can't cancel a reset.
OLDER_BY = timedelta(days=7)


class FactorReset(Base):
    """A reset of a user's second factors that is scheduled, applied or cancelled."""

    __tablename__ = "factor_resets"
    __table_args__ = (
        # At most one waits for each user.
        partial_index("uq_factor_resets_waiting", "user_id", unique=True, where=WAITING),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    reason: Mapped[str] = mapped_column(String(MAX_REASON_LENGTH))
    begun_at: Mapped[datetime]
    due_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]

    def is_cancellable_from(self, since: datetime) -> bool:
        """Return whether an address that the owner has had `since` a time can cancel the reset."""
        return since <= self.begun_at - OLDER_BY
