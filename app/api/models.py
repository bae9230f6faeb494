from datetime import datetime

from sqlalchemy import String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.core.models import Base, BigId


class IdempotentAnswer(Base):
    """The first response to a request with an `Idempotency-Key`, stored for repeated requests.

    `caller` is the sender of the key, `fingerprint` a hash of the request.
    """

    __tablename__ = "idempotent_answers"
    __table_args__ = (UniqueConstraint("caller", "key"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    caller: Mapped[str] = mapped_column(String(64))
    key: Mapped[str] = mapped_column(String(255))
    fingerprint: Mapped[str] = mapped_column(String(64))
    status: Mapped[int]
    headers: Mapped[dict[str, str]]
    body: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(index=True)
