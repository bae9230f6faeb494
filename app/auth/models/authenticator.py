from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from app.core.lengths import MAX_NAME_LENGTH
from app.core.models import Base, BigId, by_bytes

# The kind of recovery codes, which replace another factor and cannot be a user's first one. Features add the others.
RECOVERY = "recovery"


class Authenticator(Base):
    """A second factor, valid once it is confirmed.

    `secret` is the encrypted TOTP secret and `last_step` the last accepted time step; `code_hash` belongs to a recovery
    code, and a used one has `last_used_at`. `failures` counts consecutive wrong codes. A passkey has a name, its id
    (base64url), public key (COSE), counter and transports. A replaced app has no `confirmed_at`, but `replaced_at` and
    `replaced_by_id`; it can be restored for some time.
    """

    __tablename__ = "authenticators"
    __table_args__ = (Index("ix_authenticators_user_id", "user_id", "kind"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(16))
    secret: Mapped[str | None] = mapped_column(String(255))
    last_step: Mapped[int | None]
    code_hash: Mapped[str | None] = mapped_column(String(255))
    name: Mapped[str] = mapped_column(String(MAX_NAME_LENGTH), default="")
    credential_id: Mapped[str | None] = mapped_column(by_bytes(1400), unique=True)
    public_key: Mapped[bytes | None]
    sign_count: Mapped[int | None]
    transports: Mapped[list[str] | None]
    failures: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    created_at: Mapped[datetime]
    confirmed_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    replaced_at: Mapped[datetime | None]
    replaced_by_id: Mapped[int | None] = mapped_column(BigId)
