from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from app.core.lengths import MAX_OUTCOME_LENGTH, STORED_ADDRESS_LENGTH
from app.core.models import OWN_DATA, Base, BigId


class MailStatus(StrEnum):
    SENDING = "sending"
    SENT = "sent"
    DELAYED = "delayed"
    REFUSED = "refused"


class SentMail(Base):
    """The record of an email, without its text: one row for each job, with its Message-ID."""

    __tablename__ = "sent_mails"
    __table_args__ = (
        Index("ix_sent_mails_user_id", "user_id", "id"),
        Index("ix_sent_mails_created_at", "created_at"),
        Index("ix_sent_mails_status", "status", "id"),
        Index("ix_sent_mails_recipient", "recipient", "kind", "created_at"),
        {"sqlite_autoincrement": True, "info": {OWN_DATA: "mails"}},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    job_id: Mapped[int] = mapped_column(BigId, unique=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(64))
    recipient: Mapped[str] = mapped_column(String(STORED_ADDRESS_LENGTH))
    subject: Mapped[str] = mapped_column(String(200))
    message_id: Mapped[str] = mapped_column(String(200))
    status: Mapped[str] = mapped_column(String(16))
    answer: Mapped[str | None] = mapped_column(String(MAX_OUTCOME_LENGTH))
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]

    def can_be_resent(self) -> bool:
        return self.status in {MailStatus.SENT, MailStatus.REFUSED}
