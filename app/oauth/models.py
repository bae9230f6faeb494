from datetime import datetime

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.core.lengths import STORED_ADDRESS_LENGTH
from app.core.models import OWN_DATA, Base, BigId, by_bytes


class OAuthIdentity(Base):
    """Whom a provider knows as (issuer, subject), and whose account that is here.

    `email` is the confirmed address that the provider named last, for people to recognise it; nothing depends on it.
    """

    __tablename__ = "oauth_identities"
    __table_args__ = (
        UniqueConstraint("issuer", "subject"),
        {"sqlite_autoincrement": True, "info": {OWN_DATA: "connections"}},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    provider: Mapped[str] = mapped_column(String(60))
    issuer: Mapped[str] = mapped_column(by_bytes(255))
    subject: Mapped[str] = mapped_column(by_bytes(255))
    email: Mapped[str | None] = mapped_column(String(STORED_ADDRESS_LENGTH))
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
